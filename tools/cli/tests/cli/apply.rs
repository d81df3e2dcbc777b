//! Batches from standard input: what is answered is there, whatever happens then.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::{self, JoinHandle};

use crate::place::{Place, Run, id, interrupt, signal, wait_until};

pub(crate) const COMMIT: &str = "{\"op\":\"commit\"}\n";

pub(crate) fn put(token: u64, time: u64) -> String {
    format!("{{\"op\":\"put\",\"token\":{token},\"block\":1,\"time\":{time}}}\n")
}

fn set(token: u64, time: u64) -> String {
    put(token, time).replace("put", "set")
}

fn remove(token: u64) -> String {
    format!("{{\"op\":\"remove\",\"token\":{token}}}\n")
}

fn committed(count: usize) -> String {
    format!("{{\"committed\":{count}}}\n")
}

/// A line of a dump.
fn line(token: u64, time: u64) -> String {
    format!("{},{},{time}\n", id(token), id(1))
}

/// A process that applies what it is fed.
struct Fed {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Fed {
    fn spawn(place: &Place, more: &[&str]) -> Self {
        let mut command = place.command(&[&["apply", "store"], more].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout) }
    }

    fn feed(&mut self, lines: &str) {
        self.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        answer
    }

    /// Ends the input; how the process ended, with the answers that were not read yet.
    fn end(mut self) -> Run {
        self.stdin = None;
        self.wait()
    }

    fn wait(mut self) -> Run {
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut stdout).unwrap();
        let run = Run::of(self.child.wait_with_output().unwrap());
        Run { stdout, ..run }
    }

    /// Kills the process, as nothing can keep it from; the number of answers that it had
    /// given and that were not read yet.
    fn kill(mut self) -> usize {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it had ended");
        self.stdout.lines().count()
    }
}

/// Feeds batches from a first one on, until nobody takes them; the number that was taken.
fn feed_on(mut stdin: ChildStdin, first: u64, batch: fn(u64) -> String) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut number = first;
        while stdin.write_all(batch(number).as_bytes()).is_ok() {
            number += 1;
        }
        number - first
    })
}

#[test]
fn batches_are_applied_in_order() {
    let place = Place::store_of(100);
    let dump = place.ok(&["dump", "store"]);
    let first = &dump[..64];
    let batches = [
        // Of several on one token the last one counts.
        vec![put(1, 5), put(2, 5), put(1, 6), remove(3)],
        vec![],
        // What is older is put, but not set.
        vec![put(1, 4), set(1, 3), set(2, 5), set(4, 0)],
        vec![remove(2), set(2, 1), put(5, 1), remove(5), remove(9)],
        vec![format!("{{\"op\":\"remove\",\"token\":\"{first}\",\"block\":1,\"time\":1}}\n")],
    ];
    let input: String = batches.iter().map(|batch| batch.concat() + COMMIT).collect();
    let run = place.run_with_input(&["apply", "store"], &input).ends(0);
    assert_eq!(run.stdout, [4, 0, 4, 5, 1].map(committed).concat());
    assert_eq!(run.stderr, "");
    let rest = dump.split_once('\n').unwrap().1;
    let expected = line(1, 4) + &line(2, 1) + &line(4, 0) + rest;
    assert_eq!(place.ok(&["dump", "store"]), expected);
    place.ok(&["verify", "store"]);

    // Answers are JSON anyway; lines may be blank, end as on Windows, or end with the input.
    let input = format!("\r\n{}\n\n{}", remove(1).replace('\n', "\r\n"), COMMIT.trim_end());
    let run = place.run_with_input(&["--json", "apply", "store"], &input).ends(0);
    assert_eq!(run.stdout, committed(1));
    assert_eq!(place.ok(&["dump", "store"]), expected.split_once('\n').unwrap().1);
}

#[test]
fn no_input_changes_nothing() {
    let place = Place::empty_store();
    for input in ["", "\n \n", COMMIT, "\u{feff}{\"op\":\"commit\"}"] {
        let before = place.contents();
        let run = place.run_with_input(&["apply", "store"], input).ends(0);
        assert_eq!(run.stdout, committed(0).repeat(usize::from(input.contains("op"))));
        assert!(place.contents() == before, "{input:?}");
    }
}

/// Whoever writes line by line gets each answer before it has to go on, and what was
/// answered is seen by others at once.
#[test]
fn each_commit_is_answered_before_more_is_read() {
    for durability in [&[][..], &["--durability", "synced"], &["--durability", "buffered"]] {
        let place = Place::empty_store();
        let mut fed = Fed::spawn(&place, durability);
        for batch in 0..20 {
            fed.feed(&put(batch, batch));
            fed.feed(&set(batch + 1, 0));
            // What is not committed is not seen.
            let dump = (0..batch).map(|token| line(token, token)).collect::<String>();
            let dump = if batch == 0 { dump } else { dump + &line(batch, 0) };
            assert_eq!(place.ok(&["dump", "store"]), dump);
            fed.feed(COMMIT);
            assert_eq!(fed.answer(), committed(2));
            assert_eq!(place.ok(&["get", "store", &batch.to_string()]), line(batch, batch));
        }
        assert_eq!(fed.end().ends(0).stdout, "");
        assert_eq!(place.ok(&["dump", "store"]).lines().count(), 21);
    }
}

#[test]
fn a_large_batch_is_one_commit() {
    const OPERATIONS: u64 = 300_000;
    let place = Place::empty_store();
    let mut input = String::new();
    for token in 0..OPERATIONS {
        input += &put(token, token);
    }
    let run = place.run_with_input(&["apply", "store"], input + COMMIT).ends(0);
    assert_eq!(run.stdout, committed(OPERATIONS as usize));
    let stat = place.run(&["--json", "stat", "store"]).ends(0).json().remove(0);
    assert_eq!(
        (stat["tokens"].as_u64(), stat["delta"].as_u64()),
        (Some(OPERATIONS), Some(OPERATIONS))
    );
    assert_eq!(stat["recovery"]["commits"], 1);
    assert_eq!(place.ok(&["get", "store", "299999"]), line(299_999, 299_999));
}

/// What is wrong, and why.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let text = |line: &str, reason| (format!("{line}\n").into_bytes(), reason);
    vec![
        text("bad", "column 1: expected value"),
        text("{\"op\":\"put\"", "column 11: EOF"),
        text("{\"op\":\"put\",\"token\":1,\"block\":2,\"time\":3}}", "trailing characters"),
        text("{\"op\":\"commit\"}{\"op\":\"commit\"}", "trailing characters"),
        text("[\"commit\"]", "invalid type: sequence"),
        text("{\"op\":\"increment\",\"token\":1}", "unknown operation `increment`"),
        text("{\"op\":\"Commit\"}", "unknown operation `Commit`"),
        text("{\"token\":1,\"block\":2,\"time\":3}", "missing field `op`"),
        text("{\"op\":\"put\",\"block\":2,\"time\":3}", "missing field `token`"),
        text("{\"op\":\"put\",\"token\":1,\"time\":3}", "missing field `block`"),
        text("{\"op\":\"set\",\"token\":1,\"block\":2}", "missing field `time`"),
        text("{\"op\":\"remove\"}", "missing field `token`"),
        text("{\"op\":\"commit\",\"sync\":true}", "unknown field `sync`"),
        text("{\"op\":\"commit\",\"token\":1}", "a commit has no other fields"),
        text("{\"op\":\"remove\",\"token\":1,\"if\":2}", "unknown field `if`"),
        text("{\"op\":\"remove\",\"token\":\"12ab\"}", "an id has 64 hex digits"),
        text("{\"op\":\"remove\",\"token\":null}", "expected an id"),
        text("{\"op\":\"remove\",\"token\":18446744073709551616}", "expected an id"),
        text("{\"op\":\"put\",\"token\":1,\"block\":-2,\"time\":3}", "expected an id"),
        text("{\"op\":\"put\",\"token\":1,\"block\":2,\"time\":-3}", "expected u64"),
        text("{\"op\":\"remove\",\"token\":1,\"token\":1}", "duplicate field `token`"),
        text("{\"op\":\"\u{1b}[2J\"}", "control character"),
        text("{\"op\":\"\\u001b[2J\"}", "unknown operation `\\u{1b}[2J`"),
        text("{\"op\":\"commit\"}\0", "a NUL byte"),
        text(&"[".repeat(4_000), "invalid type: sequence"),
        text(&"x".repeat(5_000), "longer than 4096 bytes"),
        (b"{\"op\":\"comm\xff\"}\n".to_vec(), "not UTF-8"),
        (b"{\"op\":\"com".to_vec(), "column 10: EOF"),
    ]
}

#[test]
fn a_bad_line_drops_its_batch_and_nothing_else() {
    for (bad, reason) in bad_lines() {
        let place = Place::empty_store();
        let good = [put(1, 5), COMMIT.into(), put(2, 5), put(1, 6)].concat();
        let mut input = good.into_bytes();
        input.extend(&bad);
        input.extend(format!("{COMMIT}{}{COMMIT}", put(3, 5)).as_bytes());
        if !bad.ends_with(b"\n") {
            // The input ends in the middle of a line.
            input.truncate(input.len() - format!("{COMMIT}{}{COMMIT}", put(3, 5)).len());
        }
        let run = place
            .run_with_input(&["apply", "store"], &input)
            .fails(2, "standard input, line 5: ")
            .fails(2, reason);
        assert_eq!(run.stdout, committed(1));
        assert_eq!(place.ok(&["dump", "store"]), line(1, 5));
        // The store is none the worse.
        place.run_with_input(&["apply", "store"], put(2, 5) + COMMIT).ends(0);
        assert_eq!(place.ok(&["dump", "store"]), line(1, 5) + &line(2, 5));
    }
}

/// A gigabyte without the end of a line is refused after its first few thousand bytes.
#[test]
fn an_endless_line_is_not_read_to_its_end() {
    let place = Place::empty_store();
    let mut fed = Fed::spawn(&place, &[]);
    let block = vec![b' '; 1 << 20];
    let stdin = fed.stdin.as_mut().unwrap();
    let written = (0..1_000).take_while(|_| stdin.write_all(&block).is_ok()).count();
    assert!(written < 100, "{written} MiB were read");
    fed.end().fails(2, "line 1: longer than 4096 bytes");
}

#[test]
fn the_end_of_the_input_within_a_batch_drops_it() {
    let place = Place::empty_store();
    for (more, dropped) in
        [(put(2, 5), "1 operation was"), (put(2, 5) + &remove(1) + &set(3, 1), "3 operations were")]
    {
        let input = [put(1, 5), COMMIT.to_string(), more].concat();
        let run = place.run_with_input(&["apply", "store"], &input);
        let run = run.fails(2, &format!("ended within a batch; {dropped} not committed"));
        assert_eq!(run.stdout, committed(1));
        assert_eq!(place.ok(&["dump", "store"]), line(1, 5));
    }
}

#[test]
fn a_closed_pipe_is_0_and_silent() {
    let place = Place::empty_store();
    let mut command = place.command(&["apply", "store"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = command.stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
    // Nobody needs to end the input: there is nobody to answer.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((put(1, 2) + COMMIT + &put(3, 4)).as_bytes()).unwrap();
    assert_eq!(Run::of(child.wait_with_output().unwrap()).ends(0).stderr, "");
    drop(stdin);
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2));
}

#[test]
fn full_output_is_5() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let place = Place::empty_store();
    place.write("operations.jsonl", put(1, 2) + COMMIT);
    let input = fs::File::open(place.path("operations.jsonl")).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(&["apply", "store"]).stdin(input).stdout(full).output().unwrap();
    Run::of(output).fails(5, "cannot write standard output");
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2));
}

#[test]
fn ctrl_c_leaves_what_was_committed() {
    for name in ["INT", "TERM"] {
        for durability in ["synced", "buffered"] {
            let place = Place::empty_store();
            let mut fed = Fed::spawn(&place, &["--durability", durability]);
            fed.feed(&(put(1, 2) + COMMIT));
            assert_eq!(fed.answer(), committed(1));
            // It waits for more of a batch.
            fed.feed(&put(3, 4));
            signal(&fed.child, name);
            let still_open = fed.stdin.take();
            let run = fed.wait().fails(130, "interrupted");
            assert!(run.stderr.contains("not committed"), "{run:?}");
            drop(still_open);
            assert_eq!(place.ok(&["dump", "store"]), line(1, 2));
        }
    }
}

/// It is busy with commits that all have come already.
#[test]
fn ctrl_c_comes_between_commits() {
    let place = Place::empty_store();
    let mut fed = Fed::spawn(&place, &[]);
    let feeder = feed_on(fed.stdin.take().unwrap(), 0, |number| put(number, 1) + COMMIT);
    assert_eq!(fed.answer(), committed(1));
    interrupt(&fed.child);
    let run = fed.wait().fails(130, "interrupted");
    let answered = 1 + run.stdout.lines().count();
    assert!(feeder.join().unwrap() >= answered as u64);
    // It answers each commit that it makes.
    assert_eq!(place.ok(&["dump", "store"]).lines().count(), answered);
}

#[test]
fn one_writer_at_a_time() {
    let place = Place::empty_store();
    place.write("tokens.csv", "1,2,3\n");
    let mut fed = Fed::spawn(&place, &[]);
    fed.feed(&(put(1, 2) + COMMIT));
    assert_eq!(fed.answer(), committed(1));
    for args in [
        &["set", "store", "1", "2", "3"][..],
        &["remove", "store", "1"],
        &["apply", "store"],
        &["load", "store", "tokens.csv"],
    ] {
        place.run(args).fails(4, "store/LOCK is locked by another writer");
    }
    // Reading needs no lock, and the first is none the worse.
    assert_eq!(place.ok(&["dump", "store"]), line(1, 2));
    place.ok(&["stat", "store"]);
    place.ok(&["verify", "store"]);
    fed.feed(&(put(2, 2) + COMMIT));
    assert_eq!(fed.answer(), committed(1));
    fed.end().ends(0);
    place.ok(&["set", "store", "3", "1", "2"]);
    let expected: String = (1..4).map(|token| line(token, 2)).collect();
    assert_eq!(place.ok(&["dump", "store"]), expected);
}

#[test]
fn killed_after_an_answer_nothing_is_lost() {
    for durability in ["synced", "buffered"] {
        let place = Place::empty_store();
        for round in 0..5 {
            let mut fed = Fed::spawn(&place, &["--durability", durability]);
            fed.feed(&(put(round, 7) + COMMIT));
            assert_eq!(fed.answer(), committed(1));
            fed.feed(&put(100, 7));
            assert_eq!(fed.kill(), 0);
            let expected: String = (0..=round).map(|token| line(token, 7)).collect();
            assert_eq!(place.ok(&["dump", "store"]), expected);
        }
        place.ok(&["verify", "store"]);
    }
}

/// What was synced is known to be on disk: it was not torn, but damaged since. Of what was
/// buffered nobody knows.
#[test]
fn only_what_is_synced_is_known_to_be_on_disk() {
    for (durability, is_known) in [
        (&[][..], true),
        (&["--durability", "synced"], true),
        (&["--durability", "buffered"], false),
    ] {
        let place = Place::empty_store();
        let mut fed = Fed::spawn(&place, durability);
        fed.feed(&(put(1, 7) + COMMIT));
        assert_eq!(fed.answer(), committed(1));
        fed.kill();
        let path = place.file(".log");
        let mut log = fs::read(&path).unwrap();
        log[512 + 40] ^= 1;
        fs::write(&path, log).unwrap();
        if is_known {
            place.run(&["dump", "store"]).fails(3, "log frame at byte 512");
        } else {
            assert_eq!(place.ok(&["dump", "store"]), "");
        }
    }
    // At the end of the input all is synced.
    let place = Place::empty_store();
    let input = put(1, 7) + COMMIT;
    place.run_with_input(&["apply", "store", "--durability", "buffered"], input).ends(0);
    let path = place.file(".log");
    let mut log = fs::read(&path).unwrap();
    log[512 + 40] ^= 1;
    fs::write(&path, log).unwrap();
    place.run(&["dump", "store"]).fails(3, "log frame at byte 512");
}

/// Of an endless row of batches, killed anywhere: what was answered is there, and what is
/// there is whole batches from the first on, without a gap.
#[test]
fn killed_in_the_middle_whole_batches_are_there() {
    /// Each puts three tokens and removes one of the three before.
    fn batch(number: u64) -> String {
        let first = 3 * number;
        let puts: String = (first..first + 3).map(|token| put(token, number)).collect();
        puts + &remove(first.saturating_sub(3)) + COMMIT
    }

    let place = Place::empty_store();
    let (mut next, mut killed_at) = (1, Vec::new());
    for round in 0..12 {
        let durability = if round % 2 == 0 { "synced" } else { "buffered" };
        let mut fed = Fed::spawn(&place, &["--durability", durability]);
        let feeder = feed_on(fed.stdin.take().unwrap(), next, batch);
        let awaited = 1 + 7 * round;
        for _ in 0..awaited {
            assert_eq!(fed.answer(), committed(4));
        }
        let answered = (awaited + fed.kill()) as u64;
        let fed_batches = feeder.join().unwrap();
        let dump = place.ok(&["dump", "store"]);
        // The last token says how many batches there are.
        let last = u64::from_str_radix(&dump.lines().last().unwrap()[48..64], 16).unwrap();
        let there = last / 3 + 1;
        assert!(next + answered <= there, "{answered} answered, {} there", there - next);
        assert!(there <= next + fed_batches + 1);
        let of_batch = |number: u64| {
            let left = u64::from(number + 1 != there);
            (3 * number + left..3 * number + 3).map(move |token| line(token, number))
        };
        let expected: String = (1..there).flat_map(of_batch).collect();
        assert!(dump == expected, "round {round}");
        killed_at.push(there - next - answered);
        next = there;
    }
    eprintln!("commits that nobody was told of: {killed_at:?}");
    place.ok(&["verify", "store"]);
}

/// Reading never waits for a writer, and always sees whole batches.
#[test]
fn others_read_while_it_writes() {
    let place = Place::empty_store();
    let mut fed = Fed::spawn(&place, &["--durability", "buffered"]);
    // Both tokens always have the same time.
    let batch = |time| put(1, time) + &put(2, time) + COMMIT;
    let feeder = feed_on(fed.stdin.take().unwrap(), 1, batch);
    // Somebody has to take the answers.
    let mut stdout = fed.stdout;
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let reader = thread::spawn(move || stdout.lines().count());
    let mut times = Vec::new();
    wait_until(|| {
        let dump = place.ok(&["dump", "store"]);
        let found: Vec<u64> = dump.lines().map(|line| line[130..].parse().unwrap()).collect();
        let [one, other] = found[..] else { panic!("{dump}") };
        assert_eq!(one, other);
        times.push(one);
        times.len() == 40
    });
    assert!(times.is_sorted() && times[0] < times[39], "{times:?}");
    interrupt(&fed.child);
    Run::of(fed.child.wait_with_output().unwrap()).fails(130, "interrupted");
    assert!(feeder.join().unwrap() > 0 && reader.join().unwrap() > 0);
}
