//! What holds for all expressions and summaries.

use std::sync::LazyLock;

use model::{Document, Summary, SummaryFlags, ZoneFacts};
use proptest::collection::vec;
use proptest::prelude::*;
use storage::{Judgement, TraceFilter};

use super::super::ast::{Atom, Expr};
use super::super::{Filter, judge, parser, plan};
use super::corpus::Corpus;
use super::keeps;
use super::random::{expression, groups, summary};

static SAMPLES: LazyLock<Vec<(String, Summary, Vec<Document>)>> =
    LazyLock::new(|| Corpus::read().samples());

fn filter_of(expression: &Expr<Atom>, slow_ns: u64) -> Filter {
    Filter {
        plan: plan::plan(expression),
        expression: expression.clone(),
        slow_ns,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_printed_is_read_as_the_same(expression in expression()) {
        let text = expression.to_string();
        let read = parser::parse(&text, &mut parser::Groups::of(&groups));
        prop_assert_eq!(read, Ok(expression), "{}", text);
    }

    #[test]
    fn a_zone_never_denies_what_a_summary_does_not(
        expression in expression(),
        summaries in vec(summary(), 1..4),
        slow_ns in 0..2_u64,
    ) {
        let filter = filter_of(&expression, slow_ns);
        let is_open = summaries.iter().any(|summary| filter.judge(summary) != Judgement::Skip);
        let zone = ZoneFacts::of(&summaries);
        prop_assert!(!is_open || filter.may_match(&zone), "{}", expression);
    }

    #[test]
    fn the_order_of_judging_changes_nothing(expression in expression(), summary in summary()) {
        let planned = judge::judge(&plan::plan(&expression), &summary, 0);
        prop_assert_eq!(planned, judge::judge(&expression, &summary, 0), "{}", expression);
    }

    #[test]
    fn facts_that_are_cut_off_leave_open_what_they_decide(
        expression in expression(),
        mut summary in summary(),
        n_left in 0..3_usize,
    ) {
        summary.flags = SummaryFlags(summary.flags.0 & !SummaryFlags::FACTS_CUT.0);
        let whole = judge::judge(&expression, &summary, 0);
        summary.flags = summary.flags.union(SummaryFlags::FACTS_CUT);
        summary.requests.truncate(n_left);
        summary.edges.truncate(n_left);
        let cut = judge::judge(&expression, &summary, 0);
        prop_assert!(cut.is_none() || whole.is_none() || cut == whole, "{}", expression);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The facts of a summary and what documents tell are one truth.
    #[test]
    fn documents_tell_what_a_whole_summary_tells(expression in expression(), n_left in 0..3_usize) {
        let filter = filter_of(&expression, 0);
        for (name, summary, documents) in SAMPLES.iter() {
            let whole = keeps(&filter, summary, documents);
            let mut cut = summary.clone();
            cut.flags = cut.flags.union(SummaryFlags::FACTS_CUT);
            cut.requests.truncate(n_left);
            cut.edges.truncate(n_left);
            prop_assert_eq!(whole, keeps(&filter, &cut, documents), "{} {}", expression, name);
        }
    }
}
