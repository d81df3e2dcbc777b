//! How much memory there is.
//!
//! Asked before memory is taken that could be done without. What a group of processes may
//! have counts as well, as a container is one, and is ended if it takes more.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process can have if nobody else has any; `None` where the system
/// does not tell.
pub(crate) fn memory_bytes() -> Option<u64> {
    Some(of_meminfo("MemTotal:")?.min(of_groups(group_max)))
}

/// Bytes that this process can take without anything else having to make room that is in
/// use; `None` where the system does not tell.
pub(crate) fn available_bytes() -> Option<u64> {
    Some(of_meminfo("MemAvailable:")?.min(of_groups(group_available)))
}

fn of_meminfo(name: &str) -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, name)
}

/// The bytes in a line `name  number kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    number.checked_mul(1024)
}

/// The path of this process's group; that of all, where it is not known.
fn own_group() -> String {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    own.unwrap_or_default().to_string()
}

/// The least number of this process's group and those that it is in.
fn of_groups(number: fn(&Path) -> Option<u64>) -> u64 {
    least(Path::new("/sys/fs/cgroup"), &own_group(), number).unwrap_or(u64::MAX)
}

/// The least number of a group and those that it is in; `None` if none has one.
fn least(root: &Path, group: &str, number: fn(&Path) -> Option<u64>) -> Option<u64> {
    let path = root.join(group);
    let paths = path.ancestors().take_while(|path| path.starts_with(root));
    paths.filter_map(number).min()
}

/// What a group may have; `None` if it has no limit.
fn group_max(path: &Path) -> Option<u64> {
    number(&path.join("memory.max"))
}

/// What a group may take besides what it has; `None` if it has no limit.
fn group_available(path: &Path) -> Option<u64> {
    let (max, current) = (group_max(path)?, number(&path.join("memory.current"))?);
    // What is cached of files is given up if need be.
    let stat = fs::read_to_string(path.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix("file ")?.parse().ok());
    Some(max.saturating_sub(current.saturating_sub(cached.unwrap_or(0))))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_kibibytes_is_read() {
        let text = "MemTotal:       24683616 kB\nMemFree:   1 kB\nHugePages_Total:   0\n";
        assert_eq!(kibibytes(text, "MemTotal:"), Some(24_683_616 * 1024));
        assert_eq!(kibibytes(text, "HugePages_Total:"), None);
        assert_eq!(kibibytes(text, "MemAvailable:"), None);
        assert_eq!(kibibytes("A: 18446744073709551615 kB", "A:"), None);
    }

    #[test]
    fn the_closest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let set = |path: &Path, max: &str, current: &str, stat: &str| {
            fs::write(path.join("memory.max"), max).unwrap();
            fs::write(path.join("memory.current"), current).unwrap();
            fs::write(path.join("memory.stat"), stat).unwrap();
        };
        let told = || {
            let least_of = |number| least(root.path(), "outer/inner", number);
            (least_of(group_max), least_of(group_available))
        };
        assert_eq!(told(), (None, None));
        set(&inner, "max\n", "500\n", "anon 400\nfile 100\n");
        assert_eq!(told(), (None, None));
        set(&root.path().join("outer"), "1000\n", "900\n", "anon 600\nfile 300\n");
        assert_eq!(told(), (Some(1_000), Some(400)));
        set(&inner, "500\n", "450\n", "anon 450\nfile 0\n");
        assert_eq!(told(), (Some(500), Some(50)));
        set(&inner, "500\n", "700\n", "");
        assert_eq!(told(), (Some(500), Some(0)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_more_is_available_than_there_is() {
        let (available, all) = (available_bytes().unwrap(), memory_bytes().unwrap());
        assert!(0 < available && available <= all, "{available} of {all}");
    }
}
