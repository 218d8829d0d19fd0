//! Who used the processors.

use std::collections::BTreeMap;
use std::fs;

/// Units of the kernel's counts in a second, on every Linux.
const PER_SECOND: f64 = 100.0;

/// CPU seconds of a process so far, by name of thread. What a thread that has ended used is in nobody's count.
pub fn by_thread(pid: u32) -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        if let Some(stat) = read(&task.path().join("stat")) {
            *used.entry(stat.name).or_default() += stat.seconds;
        }
    }
    used
}

/// CPU seconds of a process and of its children so far.
pub fn of_family(pid: u32) -> f64 {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = all.filter_map(|entry| read(&entry.path().join("stat")));
    stats.filter(|stat| stat.pid == pid || stat.parent == pid).map(|stat| stat.seconds).sum()
}

/// CPU seconds of everybody on this machine so far.
pub fn of_all() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let numbers: Vec<f64> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
    (numbers[0] + numbers[1] + numbers[2] + numbers[5] + numbers[6] + numbers[7]) / PER_SECOND
}

struct Stat {
    pid: u32,
    name: String,
    parent: u32,
    seconds: f64,
}

/// `None` where it has ended meanwhile, or is no process.
fn read(path: &std::path::Path) -> Option<Stat> {
    let text = fs::read_to_string(path).ok()?;
    // The name stands in parentheses and may hold anything.
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let (pid, parent) = (pid.parse().ok()?, fields.get(1)?.parse().ok()?);
    Some(Stat { pid, name: name.to_owned(), parent, seconds: (number(11)? + number(12)?) / PER_SECOND })
}
