//! Made-up documents: times and ids in arbitrary JSON, written in arbitrary ways.

use model::{SegmentId, Timestamp, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Body, NewIds, Rewrite, Shift};

const RECORDED: u64 = 1_478_293_361;

fn rewrite(secs: i64, seed: Option<u64>) -> Rewrite {
    Rewrite {
        shift: Shift::by(Timestamp::from_secs(RECORDED), secs),
        ids: seed.map(|seed| NewIds::new(seed, 0)),
    }
}

/// White space between values.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")]
}

/// A time near enough to the present to be moved either way.
fn time() -> impl Strategy<Value = String> {
    let whole = 1_000_000_000_u64..2_000_000_000;
    prop_oneof![
        whole.clone().prop_map(|whole| whole.to_string()),
        (whole.clone(), "[0-9]{1,12}").prop_map(|(whole, decimals)| format!("{whole}.{decimals}")),
        (whole.clone(), "[0-9]{0,9}", "[eE]\\+?9").prop_map(|(whole, decimals, exponent)| {
            let digits = whole.to_string();
            let (first, others) = digits.split_at(1);
            format!("{first}.{others}{decimals}{exponent}")
        }),
        whole.prop_map(|whole| format!("\"{whole}.5\"")),
    ]
}

/// Ids of either case; a letter in what never moves tells the case.
fn id() -> impl Strategy<Value = String> {
    let ids = prop_oneof![
        "\"[0-9a-f]{15}e\"",
        "\"1-[0-9a-f]{8}-[0-9a-f]{23}e\"",
        "\"[0-9a-f]{31}e\"",
    ];
    (ids, any::<bool>()).prop_map(|(id, is_upper)| {
        if is_upper {
            id.to_ascii_uppercase()
        } else {
            id
        }
    })
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => time(),
        3 => id(),
        1 => "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        1 => Just(r#""\ud83d\ude00 \"\/ \ud800""#.to_owned()),
    ]
}

/// Names the crate knows, and some it does not.
fn name() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(vec![
        "id",
        "parent_id",
        "trace_id",
        "start_time",
        "end_time",
        "precursor_ids",
        "links",
        "cause",
        "exceptions",
        "subsegments",
        "metadata",
        "otel.span",
        "events",
        "timeUnixNano",
        "traceId",
        "spanId",
        "parentSpanId",
        "serviceOf",
        "annotations",
        "http",
        "aws",
        "sql",
        "name",
        "st\\u0061rt_time",
    ]);
    prop_oneof![
        9 => known.prop_map(str::to_owned),
        1 => "[a-z_]{0,5}",
        1 => Just("zo\u{eb}\\\"".to_owned()),
    ]
}

fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(5, 60, 6, |value| {
        let member = (name(), space(), space(), value.clone(), space());
        let member = member.prop_map(|(name, before, after, value, end)| {
            format!("{before}\"{name}\"{before}:{after}{value}{end}")
        });
        prop_oneof![
            2 => vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => (vec(value, 0..4), space()).prop_map(|(values, space)| format!("[{space}{}]", values.join(","))),
        ]
    })
}

fn body(documents: &[String]) -> Vec<u8> {
    serde_json::json!({ "TraceSegmentDocuments": documents })
        .to_string()
        .into_bytes()
}

proptest! {
    #[test]
    fn moving_nothing_is_the_identity(text in json()) {
        prop_assert_eq!(rewrite(0, None).document(&text).unwrap(), text.as_str());
    }

    #[test]
    fn any_text_is_taken(text: String, bytes: Vec<u8>) {
        let rewrite = rewrite(1, Some(1));
        prop_assert!(rewrite.document(&text).is_ok());
        prop_assert!(rewrite.body("/TraceSegments", &bytes).is_ok());
        prop_assert!(rewrite.datagram(&bytes).is_ok());
    }

    #[test]
    fn moving_there_and_back_is_the_identity(text in json(), secs in -900_000_000_i64..9_000_000_000) {
        let there = rewrite(secs, None);
        let Ok(moved) = there.document(&text) else {
            // Some numbers among the scalars are times long ago.
            return Ok(());
        };
        let back = Rewrite { shift: there.shift.inverse(), ids: None };
        if !has_short_exponent(&text) {
            prop_assert_eq!(back.document(&moved).unwrap(), text.as_str());
        }
    }

    #[test]
    fn only_times_and_ids_change(text in json(), secs in 1_i64..9_000_000_000, seed: u64) {
        let rewritten = rewrite(secs, Some(seed)).document(&text).unwrap_or_default().into_owned();
        prop_assume!(!rewritten.is_empty());
        prop_assert_eq!(skeleton(&rewritten), skeleton(&text));
    }

    #[test]
    fn bodies_and_datagrams_hold_rewritten_documents(texts in vec(json(), 0..4), secs in 0_i64..9_000_000_000, seed: u64) {
        let rewrite = rewrite(secs, Some(seed));
        let rewritten: Result<Vec<String>, _> =
            texts.iter().map(|text| rewrite.document(text).map(std::borrow::Cow::into_owned)).collect();
        let Ok(rewritten) = rewritten else { return Ok(()) };
        prop_assert_eq!(rewrite.body("/TraceSegments", &body(&texts)), Ok(Body::Rewritten(body(&rewritten))));
        for (text, rewritten) in texts.iter().zip(&rewritten) {
            let [datagram, expected] = [text, rewritten].map(|text| format!("{{\"format\":\"json\"}}\n{text}").into_bytes());
            prop_assert_eq!(rewrite.datagram(&datagram), Ok(Body::Rewritten(expected)));
        }
    }

    #[test]
    fn new_ids_are_one_to_one_and_consistent(one: u64, two: u64, seed: u64, round: u64) {
        prop_assume!(one != two);
        let ids = NewIds::new(seed, round);
        prop_assert_ne!(ids.segment_id(SegmentId(one)), ids.segment_id(SegmentId(two)));
        prop_assert_eq!(ids.segment_id(SegmentId(one)), NewIds::new(seed, round).segment_id(SegmentId(one)));
        prop_assert_eq!(ids.segment_id(SegmentId(one)) == SegmentId(0), one == 0);
        let other = NewIds::new(seed, round.wrapping_add(1));
        prop_assert!(one == 0 || ids.segment_id(SegmentId(one)) != other.segment_id(SegmentId(one)));
    }

    #[test]
    fn new_trace_ids_keep_having_a_time_or_none(bytes: [u8; 16], has_time: bool, secs in 0_i64..2_000_000_000, seed: u64) {
        let mut bytes = bytes;
        if has_time {
            bytes[..4].copy_from_slice(&u32::try_from(RECORDED).unwrap().to_be_bytes());
        }
        let id = TraceId::from_bytes(bytes);
        let rewrite = rewrite(secs, Some(seed));
        let new = rewrite.trace_id(id);
        prop_assert_ne!(new, id);
        let moved = rewrite.shift.trace_id(id);
        let epoch = |id: TraceId| u32::from_be_bytes(id.as_bytes()[..4].try_into().unwrap());
        let is_time = |id| rewrite.shift.is_moved_epoch(epoch(id));
        prop_assert_eq!(is_time(new), is_time(moved));
        if is_time(moved) {
            prop_assert_eq!(epoch(new), epoch(moved));
        }
        if has_time {
            prop_assert_eq!(i64::from(epoch(new)), i64::try_from(RECORDED).unwrap() + secs);
        }
    }
}

/// Tells whether a number with an exponent may have too few digits to reach down to the second.
fn has_short_exponent(text: &str) -> bool {
    let is_of_number = |character: char| character.is_ascii_digit() || ".eE+-".contains(character);
    let numbers = text.split(|character| !is_of_number(character));
    numbers
        .filter(|number| number.contains(['e', 'E']))
        .any(|number| {
            let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or_default();
            let n_decimals = mantissa
                .split_once('.')
                .map_or(0, |(_, decimals)| decimals.len());
            power
                .parse()
                .is_ok_and(|power: i64| power > i64::try_from(n_decimals).unwrap())
        })
}

/// Returns a text without anything that may be part of a time or an id.
fn skeleton(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_hexdigit() || ".+-".contains(character);
    text.chars()
        .filter(|character| !is_part(*character))
        .collect()
}
