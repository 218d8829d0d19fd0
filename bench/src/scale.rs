//! How much work: enough in seconds to see a change, or what the table of the goals says.

/// Sizes of one run of the harness.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) name: &'static str,
    /// Strategies armed on one symbol.
    pub(crate) armed: usize,
    /// Strategies in the book while instructions are counted.
    pub(crate) counted: usize,
    /// Ticks in a run.
    pub(crate) ticks: usize,
    /// Paired runs: an even number, or what comes first would win once more often.
    pub(crate) pairs: usize,
    /// The same for ticks, which take little.
    pub(crate) tick_pairs: usize,
    /// Starts of the servers of which ticks are compared closely.
    pub(crate) starts: usize,
    /// Stops that one tick fires.
    pub(crate) storm: usize,
    /// Updates in a run.
    pub(crate) updates: usize,
    /// Strategies of the usual Python service.
    pub(crate) seed: usize,
    /// Strategies and symbols of the growth table.
    pub(crate) growth: (&'static [usize], &'static [usize]),
    /// Strategies that are armed besides while the engine is measured.
    pub(crate) engine_armed: usize,
    /// Stops fired one by one, per block of the latency.
    pub(crate) latencies: usize,
    /// Symbols of the day, and its seconds.
    pub(crate) day: (usize, usize),
    /// Entries due at once.
    pub(crate) burst: usize,
    /// Strategies of the replayed day; 0 leaves it out.
    pub(crate) replayed: usize,
    /// Starts from an RDB file, each kind.
    pub(crate) loads: usize,
}

impl Scale {
    /// A minute or two.
    pub(crate) const QUICK: Self = Self {
        name: "quick",
        armed: 100_000,
        counted: 10_000,
        ticks: 32_768,
        pairs: 6,
        tick_pairs: 12,
        starts: 5,
        storm: 10_000,
        updates: 20_000,
        seed: 10_000,
        growth: (&[1, 1_000, 100_000], &[1, 100]),
        engine_armed: 1_000,
        latencies: 60,
        day: (5_000, 15),
        burst: 2_000,
        replayed: 0,
        loads: 3,
    };

    /// What the goals say.
    pub(crate) const FULL: Self = Self {
        name: "full",
        armed: 1_000_000,
        counted: 1_000_000,
        ticks: 65_536,
        pairs: 8,
        tick_pairs: 12,
        starts: 9,
        storm: 100_000,
        updates: 50_000,
        seed: 10_000,
        growth: (&[1, 1_000, 10_000, 100_000, 1_000_000], &[1, 100, 5_000]),
        engine_armed: 10_000,
        latencies: 300,
        day: (5_000, 300),
        burst: 100_000,
        replayed: 10_000,
        loads: 3,
    };

    /// A few seconds, to see that the harness itself works.
    pub(crate) const SMOKE: Self = Self {
        name: "smoke",
        armed: 1_000,
        counted: 1_000,
        ticks: 8_192,
        pairs: 2,
        tick_pairs: 2,
        starts: 1,
        storm: 100,
        updates: 500,
        seed: 100,
        growth: (&[1, 1_000], &[1, 10]),
        engine_armed: 10,
        latencies: 10,
        day: (100, 5),
        burst: 50,
        replayed: 0,
        loads: 1,
    };
}
