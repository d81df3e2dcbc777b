//! Signing and checking.

use crate::place::{Place, id};
use ringstore::testing::oracle::Oracle;
use ringstore::{BlockId, BlockTime, PeerId, TokenId};
use serde_json::{Value, json};

/// A store of enough tokens that every challenge can be answered.
fn place() -> Place {
    Place::store_of(40_000)
}

/// Some tokens of the store.
fn tokens(place: &Place) -> Vec<String> {
    let dump = place.ok(&["dump", "store"]);
    dump.lines().step_by(5_000).map(|line| line[..64].to_string()).collect()
}

fn sign(place: &Place, token: &str, peer: &str) -> Value {
    place.run(&["--json", "sign", "store", token, "--peer", peer]).ends(0).json().remove(0)
}

/// Checks a signature by itself and against the store.
fn check(place: &Place, proof: &Value, alone: Result<(), &str>, with_store: Result<(), &str>) {
    for (args, expected) in [
        (&["--json", "check"][..], alone),
        (&["--json", "check", "--store", "store", "-"], with_store),
    ] {
        let run = place.run_with_input(args, proof.to_string());
        let verdict = &run.json()[0];
        assert_eq!(run.code, i32::from(expected.is_err()), "{proof}: {run:?}");
        assert_eq!(run.stderr, "");
        assert_eq!(verdict["token"], proof["token"]);
        assert_eq!(verdict["ok"], expected.is_ok(), "{verdict}");
        match expected {
            Ok(()) => assert!(verdict.get("reason").is_none(), "{verdict}"),
            Err(reason) => {
                assert!(verdict["reason"].as_str().unwrap().contains(reason), "{verdict}");
            }
        }
    }
}

#[test]
fn signatures_are_the_oracles() {
    let place = place();
    let dump = place.ok(&["dump", "store"]);
    let record = |line: &str| -> (TokenId, BlockTime) {
        let mut fields = line.split(',');
        let mut field = || fields.next().unwrap();
        let (token, block, time) = (field(), field(), field());
        let block: BlockId = block.parse().unwrap();
        (token.parse().unwrap(), BlockTime::new(block, time.parse().unwrap()))
    };
    let oracle: Oracle = dump.lines().map(record).collect();
    let mut tokens = tokens(&place);
    // From the last token a walk goes around the end of the ring.
    tokens.push(dump.lines().last().unwrap()[..64].to_string());
    let mut wrapped = 0;
    for (peer, token) in tokens.iter().enumerate() {
        let peer = PeerId::from(peer as u64);
        let signed = oracle.sign(&token.parse().unwrap(), &peer).unwrap();
        let proof = sign(&place, token, &peer.to_string());
        let expected = json!({
            "token": token,
            "block": signed.signature.origin.block,
            "peer": peer,
            "chunks": signed.chunks,
            "signature": signed.signature.matches,
            "steps": signed.steps,
            "wrapped": signed.wrapped,
        });
        assert_eq!(proof, expected);
        wrapped += u32::from(signed.wrapped);
        check(&place, &proof, Ok(()), Ok(()));

        let text = place.ok(&["sign", "store", token, "--peer", &peer.to_string()]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 14);
        let block = signed.signature.origin.block;
        assert_eq!(lines[0], format!("token      {token}"));
        assert_eq!(lines[1], format!("block      {block}"));
        assert_eq!(lines[2], format!("peer       {peer}"));
        // Five up, five down.
        let ways = ["up  ", "down"].into_iter().flat_map(|way| [way; 5]);
        for (index, way) in ways.enumerate() {
            let (chunk, met) = (signed.chunks[index], signed.signature.matches[index]);
            let line = format!("{way} {chunk:>4}  {},{}", met.token, met.block);
            assert_eq!(lines[3 + index], line);
        }
        let around = if signed.wrapped { ", around the end of the ring" } else { "" };
        assert_eq!(lines[13], format!("{} tokens passed{around}", signed.steps));
    }
    assert!(wrapped > 0 && wrapped < tokens.len() as u32);
}

#[test]
fn many_signatures_are_checked_line_by_line() {
    let place = place();
    let tokens = tokens(&place);
    let proofs: Vec<_> = tokens.iter().map(|token| sign(&place, token, "9")).collect();
    let lines = proofs.iter().map(|proof| format!("{proof}\n")).collect::<Vec<_>>().concat();
    place.write("proofs.jsonl", &lines);
    let expected = tokens.iter().map(|token| format!("ok {token}\n")).collect::<Vec<_>>().concat();
    assert_eq!(place.ok(&["check", "proofs.jsonl"]), expected);
    assert_eq!(place.ok(&["check", "proofs.jsonl", "--store", "store"]), expected);

    // One bad one among them is told, and decides the exit code.
    let bad = lines.replacen("\"peer\":\"00", "\"peer\":\"01", 1);
    place.write("proofs.jsonl", bad);
    let run = place.run(&["check", "proofs.jsonl"]);
    assert_eq!(run.code, 1);
    let verdicts: Vec<_> = run.stdout.lines().collect();
    assert_eq!(verdicts.len(), tokens.len());
    assert!(verdicts[0].starts_with(&format!("failed {}: ", tokens[0])), "{}", verdicts[0]);
    assert!(verdicts[1..].iter().all(|verdict| verdict.starts_with("ok ")));
}

#[test]
fn what_was_tampered_with_fails() {
    let place = place();
    let token = &tokens(&place)[3];
    let proof = sign(&place, token, "9");
    let tampered = |tamper: &dyn Fn(&mut Value)| {
        let mut tampered = proof.clone();
        tamper(&mut tampered);
        assert_ne!(tampered, proof);
        tampered
    };
    let both = |tamper: &dyn Fn(&mut Value), reason| {
        check(&place, &tampered(tamper), Err(reason), Err(reason));
    };
    both(&|proof| proof["peer"] = json!(id(10)), "but the challenge leads to");
    both(&|proof| proof["block"] = json!(id(10)), "but the challenge leads to");
    both(&|proof| proof["token"] = json!(id(10)), "but the challenge leads to");
    both(&|proof| proof["chunks"][9] = json!(1024), "chunk 9 is 1024");
    both(&|proof| proof["signature"][2]["token"] = json!(id(2000)), "match 2");
    both(&|proof| proof["signature"].as_array_mut().unwrap().swap(0, 1), "match 0");

    // Only a store knows which tokens and blocks there are, and how long the way was.
    let store = |tamper: &dyn Fn(&mut Value), reason| {
        check(&place, &tampered(tamper), Ok(()), Err(reason));
    };
    store(
        &|proof| proof["signature"][4]["block"] = json!(id(1)),
        "the store's own signature differs",
    );
    store(&|proof| proof["steps"] = json!(1), "the store's own walk takes");
    store(&|proof| proof["wrapped"] = json!(true), "does not pass an end of the ring");

    // How it was found proves nothing and may be left out.
    let mut bare = proof.clone();
    bare.as_object_mut().unwrap().remove("steps");
    bare.as_object_mut().unwrap().remove("wrapped");
    check(&place, &bare, Ok(()), Ok(()));
}

#[test]
fn what_is_no_signature_is_bad_input() {
    let place = Place::store_of(10);
    for (input, reason) in [
        ("", "there is no signature in standard input"),
        ("\n\n", "there is no signature in standard input"),
        ("hello", "standard input, line 1: column 1: expected value"),
        ("{}", "standard input, line 1: column 2: missing field `token`"),
        ("[1]", "standard input, line 1: "),
        ("\0", "standard input, line 1: a NUL byte"),
        ("{\"token\":\"12\"}", "missing field `block`"),
        ("{\"token\":\"1x\"}", "found 2 characters"),
    ] {
        place.run_with_input(&["check"], input).fails(2, reason);
    }
    place.run_with_input(&["check"], "x".repeat(10_000)).fails(2, "line 1: longer than 4096 bytes");
}

#[test]
fn a_small_store_cannot_answer() {
    let place = Place::store_of(100);
    let token = &place.ok(&["range", "store", "--limit", "1"])[..64];
    place.run(&["sign", "store", token, "--peer", "1"]).fails(1, "not every chunk is met");
    place.run(&["--json", "sign", "store", "1", "--peer", "1"]).fails(1, "is not in the store");
}
