//! A fuzzer inside the test: it changes inputs, tries them, and keeps those that lead to something new.
//!
//! 1. An input is taken from those that were given or kept, and changed some times, by what is known of its format or
//!    byte by byte.
//! 2. It is tried: the target returns the *class* of what came of it (which error, how many of what), and panics if
//!    something that is promised does not hold. An input of a new class is kept, and so is a much shorter one of an
//!    old class.
//! 3. A panic ends the run. The input is made smaller as long as it panics at the same place, and shown.
//! 4. At the end the inputs that took longest for their size are grown: see `pace`.
//!
//! What is tried follows from the seed alone; time only says when to stop. The input under way lies in a file, so that
//! one that takes the whole process down (a stack that is too small, an abort) is known, too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use roentgen_tests::random::Random;
use roentgen_tests::wait::now;

use crate::bytes::{self, Vocabulary};
use crate::pace;

/// What is tried, and with what.
pub(crate) struct Target<'t> {
    /// The name of its file and in messages.
    pub(crate) name: &'static str,
    /// Inputs to begin with; not none.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// What the format is made of.
    pub(crate) vocabulary: Vocabulary,
    /// The format.
    pub(crate) form: &'t dyn Form,
    /// The most bytes an input has.
    pub(crate) bytes_max: usize,
    /// Tries an input and returns the class of what came of it; panics if a promise is broken.
    pub(crate) attempt: &'t dyn Fn(&[u8]) -> u64,
}

/// A format whose inputs can be changed and stay inputs of it.
pub(crate) trait Form {
    /// Returns the input changed, with pieces of `other`; nothing if it is not of the format.
    fn change(&self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>>;

    /// Returns about so many bytes: the input with one part of it many times. The same chance takes the same part.
    fn grow(&self, input: &[u8], n_bytes: usize, random: &mut Random) -> Option<Vec<u8>>;
}

/// The format of which nothing is known but its words.
pub(crate) struct Plain;

impl Form for Plain {
    fn change(&self, _: &[u8], _: &[u8], _: &mut Random) -> Option<Vec<u8>> {
        None
    }

    fn grow(&self, _: &[u8], _: usize, _: &mut Random) -> Option<Vec<u8>> {
        None
    }
}

/// How long a run goes on.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    /// For so long.
    Time(Duration),
    /// For so many inputs.
    Inputs(u64),
}

/// What a run that found nothing did.
#[derive(Debug)]
pub(crate) struct Report {
    /// Inputs that were tried.
    pub(crate) n_inputs: u64,
    /// Classes of what came of them.
    pub(crate) n_classes: usize,
    /// Of the inputs that were grown: by how much the slowest took longer with twice the bytes.
    pub(crate) worst_growth: f64,
}

/// An input that breaks a promise.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Where and how.
    pub(crate) message: String,
    /// The input, as small as it was made.
    pub(crate) input: Vec<u8>,
}

/// Tries a target for two seconds, in long mode for a minute, and panics if something is found.
pub(crate) fn fuzz(target: &Target<'_>) {
    let is_long = std::env::var_os("LONG").is_some();
    let budget = Budget::Time(Duration::from_secs(if is_long { 60 } else { 2 }));
    let seed = std::env::var_os("FUZZ_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(now()));
    eprintln!("{}: seed {seed}", target.name);
    match run(target, budget, seed) {
        Ok(report) => eprintln!("{}: {report:?}", target.name),
        Err(finding) => panic!("{}, FUZZ_SEED={seed}: {}", target.name, finding.show()),
    }
}

/// Tries a target.
pub(crate) fn run(target: &Target<'_>, budget: Budget, seed: u64) -> Result<Report, Finding> {
    let begun = Instant::now();
    // The last part of the time is for growing.
    let is_over = |n_inputs| match budget {
        Budget::Time(length) => begun.elapsed() > length * 3 / 4,
        Budget::Inputs(n_inputs_max) => n_inputs >= n_inputs_max,
    };
    let mut search = Search::new(target, seed);
    for seed_input in &target.seeds {
        search.attempt(seed_input.clone())?;
    }
    while !is_over(search.n_inputs) {
        let input = search.next();
        search.attempt(input)?;
    }
    let growths = match budget {
        Budget::Time(length) => pace::Growths::Until(begun + length),
        Budget::Inputs(n_inputs) => pace::Growths::Count(n_inputs / 100),
    };
    let slow = search.slowest.inputs();
    let worst_growth = pace::check(target, &slow, growths, &mut search.random)?;
    Ok(Report {
        n_inputs: search.n_inputs,
        n_classes: search.classes.len(),
        worst_growth,
    })
}

/// Returns the class of what is given.
pub(crate) fn class(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Returns how many binary digits a number has: counts of one size are one class.
pub(crate) fn size(count: usize) -> u32 {
    usize::BITS - count.leading_zeros()
}

/// Tries one input; returns its class, or the message of the panic.
pub(crate) fn attempt(target: &Target<'_>, input: &[u8]) -> Result<u64, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if TRYING.get() {
                MESSAGE.set(info.to_string());
            } else {
                others(info);
            }
        }));
    });
    TRYING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| (target.attempt)(input)));
    TRYING.set(false);
    result.map_err(|_| MESSAGE.take())
}

thread_local! {
    static TRYING: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A run under way.
struct Search<'t> {
    target: &'t Target<'t>,
    random: Random,
    /// The inputs that were given, then those that were kept.
    corpus: Vec<Vec<u8>>,
    /// Each class and the place of the input that was kept for it.
    classes: HashMap<u64, usize>,
    slowest: pace::Slowest,
    n_inputs: u64,
    under_way: File,
}

impl<'t> Search<'t> {
    fn new(target: &'t Target<'t>, seed: u64) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        Self {
            target,
            random: Random::new(seed),
            corpus: target.seeds.clone(),
            classes: HashMap::new(),
            slowest: pace::Slowest::new(target.bytes_max),
            n_inputs: 0,
            under_way: File::create(path).unwrap(),
        }
    }

    /// Returns an input that was not tried yet, as a rule.
    fn next(&mut self) -> Vec<u8> {
        let n_seeds = self.target.seeds.len();
        let n_parents = if self.random.percent(30) {
            n_seeds
        } else {
            self.corpus.len()
        };
        // Short inputs are tried more often: they cost less and say the same.
        let parents = [0; 2].map(|_| bytes::index(&mut self.random, n_parents));
        let shorter = parents
            .into_iter()
            .min_by_key(|idx| self.corpus[*idx].len());
        let mut input = self.corpus[shorter.unwrap_or_default()].clone();
        let is_formed = self.random.percent(60);
        let mut n_changes = 1;
        while n_changes < CHANGES_MAX && self.random.percent(50) {
            n_changes += 1;
        }
        for change_idx in 0..n_changes {
            let other_idx = bytes::index(&mut self.random, self.corpus.len());
            let other = &self.corpus[other_idx];
            // What is well formed is broken at the end, if at all.
            let is_last = change_idx + 1 == n_changes;
            let by_form = is_formed && !(is_last && self.random.percent(20));
            let form = self.target.form;
            let changed = by_form.then(|| form.change(&input, other, &mut self.random));
            input = changed.flatten().unwrap_or_else(|| {
                bytes::change(&input, other, &self.target.vocabulary, &mut self.random)
            });
        }
        input.truncate(self.target.bytes_max);
        input
    }

    fn attempt(&mut self, input: Vec<u8>) -> Result<(), Finding> {
        self.n_inputs += 1;
        self.note(&input);
        let begun = Instant::now();
        let class = attempt(self.target, &input).map_err(|message| {
            let input = smallest(self.target, input.clone(), &message);
            Finding { message, input }
        })?;
        self.slowest.offer(&input, begun.elapsed());
        let kept = self.classes.get(&class).copied();
        match kept {
            None if self.classes.len() < CLASSES_MAX => {
                self.classes.insert(class, self.corpus.len());
                self.corpus.push(input);
            }
            Some(idx) if input.len() < self.corpus[idx].len() / 2 => self.corpus[idx] = input,
            Some(_) | None => {}
        }
        Ok(())
    }

    fn note(&self, input: &[u8]) {
        self.under_way.write_all_at(input, 0).unwrap();
        self.under_way
            .set_len(u64::try_from(input.len()).unwrap())
            .unwrap();
    }
}

/// Returns the input without all that is not needed for a panic at the same place, found by leaving out ever smaller
/// pieces.
fn smallest(target: &Target<'_>, mut input: Vec<u8>, message: &str) -> Vec<u8> {
    let begun = Instant::now();
    let is_same = |input: &[u8]| {
        attempt(target, input).is_err_and(|other| place_of(&other) == place_of(message))
    };
    let mut n_piece = input.len().div_ceil(2);
    while n_piece > 0 && begun.elapsed() < SMALLER_FOR {
        let mut start = 0;
        let mut is_smaller = false;
        while start < input.len() && begun.elapsed() < SMALLER_FOR {
            let end = (start + n_piece).min(input.len());
            let without = [&input[..start], &input[end..]].concat();
            if is_same(&without) {
                input = without;
                is_smaller = true;
            } else {
                start = end;
            }
        }
        if !is_smaller {
            n_piece /= 2;
        }
    }
    input
}

/// Returns the line of a panic's message that says where.
fn place_of(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

impl Finding {
    /// Returns the finding as text, with the input as hex and as text.
    pub(crate) fn show(&self) -> String {
        let mut hex = String::new();
        for byte in self.input.iter().take(SHOWN_BYTES_MAX) {
            write!(hex, "{byte:02x}").unwrap();
        }
        let shown = &self.input[..self.input.len().min(SHOWN_BYTES_MAX)];
        let text = String::from_utf8_lossy(shown);
        format!(
            "{}\ninput of {} bytes\nhex {hex}\ntext {text:?}",
            self.message,
            self.input.len()
        )
    }
}

const CHANGES_MAX: usize = 8;
const CLASSES_MAX: usize = 4000;
const SHOWN_BYTES_MAX: usize = 4096;
const SMALLER_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer is tried with: a target that breaks at a word, and one that is slow about one byte.
    fn target(attempt: &dyn Fn(&[u8]) -> u64) -> Target<'_> {
        Target {
            name: "itself",
            seeds: vec![b"abcdef,ghi,jkl".to_vec()],
            vocabulary: Vocabulary {
                words: &[b"x", b"y"],
                brackets: &[(b"(", b")")],
            },
            form: &Plain,
            bytes_max: 8_000,
            attempt,
        }
    }

    fn n_of(input: &[u8], byte: u8) -> usize {
        input.split(|other| *other == byte).count() - 1
    }

    #[test]
    fn what_breaks_is_found_and_made_small() {
        let breaks = |input: &[u8]| {
            let (n_x, n_y) = (n_of(input, b'x'), n_of(input, b'y'));
            assert!(n_x < 3 || n_y < 2, "too much");
            class((n_x.min(3), n_y.min(2)))
        };
        for seed in 0..3 {
            let finding = run(&target(&breaks), Budget::Inputs(100_000), seed).unwrap_err();
            assert!(finding.message.contains("too much"), "{}", finding.message);
            let mut input = finding.input.clone();
            input.sort_unstable();
            assert_eq!(input, b"xxxyy");
            assert!(finding.show().contains("input of 5 bytes"));
        }
    }

    #[test]
    fn the_same_seed_tries_the_same_inputs() {
        let tried = |seed| {
            let inputs = RefCell::new(Vec::new());
            let note = |input: &[u8]| {
                inputs.borrow_mut().push(input.to_vec());
                class(size(input.len()))
            };
            let target = target(&note);
            let mut search = Search::new(&target, seed);
            for _ in 0..500 {
                let input = search.next();
                search.attempt(input).unwrap();
            }
            drop(search);
            inputs.into_inner()
        };
        let inputs = tried(7);
        assert_eq!(inputs.len(), 500);
        assert!(inputs == tried(7));
        assert!(inputs != tried(8));
    }

    #[test]
    fn quadratic_work_is_found_and_linear_work_is_not() {
        let work = |n_steps: usize| {
            let sum: usize = (0..n_steps)
                .map(|step| std::hint::black_box(step) % 7)
                .sum();
            class(sum)
        };
        let quadratic = |input: &[u8]| work(n_of(input, b',').pow(2) / 16);
        let finding = run(&target(&quadratic), Budget::Inputs(2000), 1).unwrap_err();
        assert!(
            finding.message.contains("times where the input doubles"),
            "{}",
            finding.message
        );
        let linear = |input: &[u8]| work(n_of(input, b',') * 50);
        let report = run(&target(&linear), Budget::Inputs(2000), 1).unwrap();
        assert!(
            (1.0..FAR_FROM_QUADRATIC).contains(&report.worst_growth),
            "{report:?}"
        );
        assert!(
            (report.n_inputs, report.n_classes > 1) == (2000, true),
            "{report:?}"
        );
    }

    const FAR_FROM_QUADRATIC: f64 = 3.0;
}
