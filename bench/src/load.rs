//! The load generator: pre-encoded requests over several connections, a batch in flight on each. The server always has
//! work waiting, so what is measured is the server.

use crate::stats::Spread;
use crate::wire::{Tally, take_replies};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use strat_harness::servers::Redis;

/// Commands in a batch, and connections. Together 256 commands are under way, as with many feeds or one that pipelines.
const BATCH: usize = 64;
const CONNECTIONS: usize = 4;
/// No answer within this time is a failure.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// Requests, encoded.
pub(crate) struct Work {
    batches: Vec<(Vec<u8>, u64)>,
    /// Units of work (commands, or ticks of a command that carries several).
    units: u64,
}

impl Work {
    /// These commands, `repeat` times over.
    pub(crate) fn new(commands: &[Vec<u8>], repeat: usize) -> Self {
        let batches: Vec<_> = commands.chunks(BATCH).map(|batch| (batch.concat(), batch.len() as u64)).collect();
        let units = (commands.len() * repeat) as u64;
        Self { batches: batches.iter().cycle().take(batches.len() * repeat).cloned().collect(), units }
    }

    /// Each command counts for so many.
    pub(crate) fn of_units(mut self, each: u64) -> Self {
        self.units *= each;
        self
    }

    /// Each command is one of several steps, with as many replies.
    pub(crate) fn of_steps(mut self, each: u64) -> Self {
        self.batches.iter_mut().for_each(|(_, replies)| *replies *= each);
        self
    }

    /// Commands in one piece, of which each has a reply.
    pub(crate) fn bulk(wire: Vec<u8>, replies: u64) -> Self {
        Self { batches: vec![(wire, replies)], units: replies }
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Units per second of wall clock.
    pub(crate) rate: f64,
    /// Units per second of the server's CPU time; 0 where that was not measured.
    pub(crate) cpu_rate: f64,
    pub(crate) tally: Tally,
}

/// Sends everything, whatever time it takes.
pub(crate) fn push(redis: &Redis, work: &Work) -> Tally {
    send(&redis.socket(), work)
}

/// Sends everything and waits for every reply.
pub(crate) fn run(redis: &Redis, work: &Work) -> Run {
    let before = cpu_seconds(redis);
    let started = Instant::now();
    let tally = send(&redis.socket(), work);
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(redis) - before;
    let commands: u64 = work.batches.iter().map(|(_, commands)| commands).sum();
    assert_eq!(tally.replies, commands, "a reply for every command");
    Run { rate: work.units as f64 / seconds, cpu_rate: work.units as f64 / cpu.max(1e-6), tally }
}

/// CPU time of the server so far, in all its threads.
pub(crate) fn cpu_seconds(redis: &Redis) -> f64 {
    ["used_cpu_user", "used_cpu_sys"].iter().map(|field| redis.info("cpu", field).parse::<f64>().unwrap()).sum()
}

struct Link {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// Replies that the batch in flight still waits for.
    awaited: u64,
}

fn send(socket: &Path, work: &Work) -> Tally {
    let mut links: Vec<_> = (0..CONNECTIONS).map(|_| Link::open(socket)).collect();
    let mut batches = work.batches.iter();
    let mut tally = Tally::default();
    for link in &mut links {
        link.send(batches.next());
    }
    while links.iter().any(|link| link.awaited > 0) {
        for link in &mut links {
            link.receive(&mut tally);
            link.send(batches.next());
        }
    }
    tally
}

impl Link {
    fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        stream.set_read_timeout(Some(REPLY_LIMIT)).unwrap();
        stream.set_write_timeout(Some(REPLY_LIMIT)).unwrap();
        Self { stream, bytes: Vec::new(), awaited: 0 }
    }

    fn send(&mut self, batch: Option<&(Vec<u8>, u64)>) {
        let Some((wire, commands)) = batch else { return };
        self.stream.write_all(wire).unwrap();
        self.awaited = *commands;
    }

    /// Reads until the batch is answered.
    fn receive(&mut self, tally: &mut Tally) {
        let mut buffer = [0; 65_536];
        while self.awaited > 0 {
            let count = self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("no reply: {error}"));
            assert!(count > 0, "the server closed the connection");
            self.bytes.extend_from_slice(&buffer[..count]);
            let before = tally.replies;
            let taken = take_replies(&self.bytes, tally).unwrap_or_else(|error| panic!("refused: {error}"));
            self.bytes.drain(..taken);
            self.awaited = self.awaited.checked_sub(tally.replies - before).expect("no more replies than commands");
        }
    }
}

/// How often A did what B did in the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) wall: Spread,
    /// By the servers' CPU time, which a busy machine disturbs less.
    pub(crate) cpu: Spread,
}

/// Runs A and B in turn, the first of a pair changing each time, and compares within each pair. One pair before warms
/// both up and is not counted. `pairs` is even: on a busy machine what has rested longer runs faster.
pub(crate) fn paired(pairs: usize, mut a: impl FnMut(usize) -> Run, mut b: impl FnMut(usize) -> Run) -> Compared {
    assert!(pairs.is_multiple_of(2), "as many pairs with A first as with B first");
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for pair in 0..=pairs {
        let (of_a, of_b) = if pair % 2 == 0 {
            let of_a = a(pair);
            (of_a, b(pair))
        } else {
            let of_b = b(pair);
            (a(pair), of_b)
        };
        if pair > 0 {
            wall.push(of_a.rate / of_b.rate);
            cpu.push(of_a.cpu_rate / of_b.cpu_rate);
        }
    }
    Compared { wall: Spread::of(&wall), cpu: Spread::of(&cpu) }
}

/// As [`paired`], with servers that `start` makes anew each time; a start's median counts as one value. How fast a process
/// is depends on where the system happened to put it, for as long as it lives: more pairs with the same two processes
/// would measure that once more.
pub(crate) fn paired_anew<S>(
    starts: usize,
    pairs: usize,
    start: impl Fn() -> (S, S),
    a: impl Fn(&S) -> Run,
    b: impl Fn(&S) -> Run,
) -> Compared {
    let each = || {
        let (of_a, of_b) = start();
        paired(pairs, |_| a(&of_a), |_| b(&of_b))
    };
    let (wall, cpu): (Vec<_>, Vec<_>) =
        (0..starts).map(|_| each()).map(|found| (found.wall.median, found.cpu.median)).unzip();
    Compared { wall: Spread::of(&wall), cpu: Spread::of(&cpu) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn runs_alternate_and_each_is_compared_with_the_one_beside_it() {
        let order = RefCell::new(String::new());
        // The machine gets slower from pair to pair; the ratio within each pair stays.
        let run = |name: char, rate: f64| {
            order.borrow_mut().push(name);
            Run { rate, cpu_rate: rate * 2.0, tally: Tally::default() }
        };
        let compared = paired(4, |n| run('a', 30.0 / (n + 1) as f64), |n| run('b', 10.0 / (n + 1) as f64));
        assert_eq!(order.into_inner(), "abbaabbaab");
        for value in [compared.wall.min, compared.wall.median, compared.wall.max, compared.cpu.median] {
            assert!((value - 3.0).abs() < 1e-9, "{compared:?}");
        }
    }

    #[test]
    fn work_repeats_its_commands_whole() {
        let commands: Vec<_> = (0..100).map(|n| format!("{n};").into_bytes()).collect();
        let work = Work::new(&commands, 3).of_units(50);
        assert_eq!(work.units, 15_000);
        assert_eq!(work.batches.iter().map(|(_, commands)| commands).sum::<u64>(), 300);
        let all: Vec<u8> = work.batches.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        assert_eq!(all, commands.concat().repeat(3));
    }
}
