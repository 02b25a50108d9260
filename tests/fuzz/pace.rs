//! Whether time grows faster than inputs do.
//!
//! No absolute time says that on a busy machine. So an input that took long for its size is grown to a quarter, a half
//! and the whole of what inputs may have: of linear work each takes twice as long as the one before, of quadratic work
//! four times. What is measured is the processor time of this thread, the least of several runs.

use std::time::{Duration, Instant};

use roentgen_tests::random::Random;
use rustix::time::{ClockId, clock_gettime};

use crate::bytes;
use crate::engine::{Finding, Target, attempt};

/// How many inputs are grown.
#[derive(Clone, Copy)]
pub(crate) enum Growths {
    /// So many.
    Count(u64),
    /// As many as there is time for, one at least.
    Until(Instant),
}

/// The inputs that took longest for their size, of those small enough to be grown.
pub(crate) struct Slowest {
    bytes_max: usize,
    /// Picoseconds a byte, and the input; the slowest first.
    inputs: Vec<(u128, Vec<u8>)>,
}

impl Slowest {
    /// Returns none yet, of a target whose inputs may have so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: bytes_max / GROWN_TIMES_MIN,
            inputs: Vec::new(),
        }
    }

    /// Keeps an input if it is one of the slowest.
    pub(crate) fn offer(&mut self, input: &[u8], took: Duration) {
        if !(JUDGED_BYTES_MIN..self.bytes_max).contains(&input.len()) {
            return;
        }
        let pace = took.as_nanos() * 1000 / u128::try_from(input.len()).unwrap();
        let rank = self.inputs.partition_point(|(other, _)| *other >= pace);
        if rank < SLOWEST_MAX {
            self.inputs.insert(rank, (pace, input.to_vec()));
            self.inputs.truncate(SLOWEST_MAX);
        }
    }

    /// Returns them.
    pub(crate) fn inputs(&self) -> Vec<Vec<u8>> {
        self.inputs.iter().map(|(_, input)| input.clone()).collect()
    }
}

/// Grows the slow inputs and those the target began with; returns the greatest factor by which time grew where input
/// doubled.
///
/// # Errors
/// An input that grows to one that takes more than in proportion.
pub(crate) fn check(
    target: &Target<'_>,
    slow: &[Vec<u8>],
    growths: Growths,
    random: &mut Random,
) -> Result<f64, Finding> {
    let mut worst = 0.0_f64;
    let mut n_grown = 0;
    let inputs: Vec<&Vec<u8>> = slow.iter().chain(&target.seeds).collect();
    loop {
        let input = inputs[bytes::index(random, inputs.len())];
        let family = Family::of(target, input, random);
        let factor = family.factor(target, 3)?;
        let is_excess = |factor: f64| factor > FACTOR_MAX;
        // What looks like too much is measured again, with care.
        let factor = if is_excess(factor) {
            family.factor(target, 15)?
        } else {
            factor
        };
        if is_excess(factor) {
            return Err(family.finding(factor));
        }
        worst = worst.max(factor);
        n_grown += 1;
        let is_over = match growths {
            Growths::Count(count) => n_grown >= count,
            Growths::Until(end) => Instant::now() > end,
        };
        if is_over {
            return Ok(worst);
        }
    }
}

/// One input, grown to sizes each twice the one before.
struct Family([Vec<u8>; 3]);

impl Family {
    fn of(target: &Target<'_>, input: &[u8], random: &mut Random) -> Self {
        let by_form = random.percent(70);
        let chance = random.bits();
        Self([4, 2, 1].map(|part| {
            let n_bytes = target.bytes_max / part;
            let grown = by_form.then(|| target.form.grow(input, n_bytes, &mut Random::new(chance)));
            grown
                .flatten()
                .unwrap_or_else(|| bytes::grow(input, n_bytes, &mut Random::new(chance)))
        }))
    }

    /// Returns by how much time grows with each doubling at least; 0 if all is too fast to tell.
    fn factor(&self, target: &Target<'_>, n_runs: u32) -> Result<f64, Finding> {
        let mut times = [Duration::MAX; 3];
        for _ in 0..n_runs {
            for (input, time) in self.0.iter().zip(&mut times) {
                let begun = cpu_time();
                attempt(target, input).map_err(|message| Finding {
                    message,
                    input: input.clone(),
                })?;
                *time = (*time).min(cpu_time().saturating_sub(begun));
            }
        }
        let [quarter, half, whole] = times.map(|time| time.as_secs_f64().max(1e-9));
        if whole < TOLD_FROM.as_secs_f64() {
            return Ok(0.0);
        }
        Ok((half / quarter).min(whole / half))
    }

    fn finding(self, factor: f64) -> Finding {
        let [input, _, _] = self.0;
        let message = format!(
            "time grows {factor:.1} times where the input doubles; grown to a quarter of the size:"
        );
        Finding { message, input }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Twice is linear, four times is quadratic.
const FACTOR_MAX: f64 = 3.0;
/// Less is lost in what the clock and the machine do.
const TOLD_FROM: Duration = Duration::from_micros(300);
const JUDGED_BYTES_MIN: usize = 64;
/// The least of the three sizes is twice what is grown, or it would say little.
const GROWN_TIMES_MIN: usize = 8;
const SLOWEST_MAX: usize = 32;
