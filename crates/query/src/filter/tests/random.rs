//! Random expressions and summaries. Values are few, so that they meet often.

use model::{
    AnnotationValue, EdgeFacts, Flags, HttpFacts, IndexedAnnotation, RequestFacts, RequestState,
    Service, Summary, SummaryFlags, Timestamp, TraceId, User,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::ast::{
    Atom, CauseKind, CauseList, Comparison, Expr, GroupKey, Likeness, Simple, Test,
};
use super::super::json::{CausePattern, EntityPattern, ExceptionPattern, ServicePattern};
use super::super::keywords::{Class, Keyword, Place};
use super::super::selector::NodeSelector;
use super::super::{GroupRef, parser};

/// The groups of random expressions.
pub(super) fn groups(reference: GroupRef<'_>) -> Option<String> {
    match reference {
        GroupRef::Name("all") => Some(" ".to_owned()),
        GroupRef::Name("bad") => Some("fault OR error".to_owned()),
        GroupRef::Arn("arn:slow") => Some("responsetime > 1 AND !partial".to_owned()),
        GroupRef::Name(_) | GroupRef::Arn(_) => None,
    }
}

pub(super) fn expression() -> impl Strategy<Value = Expr<Atom>> {
    joined(atom())
}

fn joined<A: Clone + std::fmt::Debug + 'static>(
    atom: impl Strategy<Value = A> + 'static,
) -> impl Strategy<Value = Expr<A>> {
    atom.prop_map(Expr::Atom).prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            vec(inner.clone(), 2..4).prop_map(Expr::And),
            vec(inner, 2..4).prop_map(Expr::Or),
        ]
    })
}

fn atom() -> impl Strategy<Value = Atom> {
    let kind = || {
        select(vec![
            CauseKind::Fault,
            CauseKind::Error,
            CauseKind::ResponseTime,
        ])
    };
    let group = |key: GroupKey| {
        let text = match &key {
            GroupKey::Name(name) => groups(GroupRef::Name(name)),
            GroupKey::Arn(arn) => groups(GroupRef::Arn(arn)),
        };
        let text = text.unwrap();
        let mut known = parser::Groups::of(&groups);
        let filter = (!text.trim().is_empty()).then(|| parser::parse(&text, &mut known).unwrap());
        Atom::Group(key, filter.map(Box::new))
    };
    let groups = select(vec![
        group(GroupKey::Name("all".to_owned())),
        group(GroupKey::Name("bad".to_owned())),
        group(GroupKey::Arn("arn:slow".to_owned())),
    ]);
    prop_oneof![
        4 => simple(Place::Trace).prop_map(Atom::Simple),
        2 => annotation(),
        2 => (node(), option::of(block(Place::ServiceBlock)))
            .prop_map(|(node, block)| Atom::Service(node, block)),
        2 => (node(), node(), option::of(block(Place::EdgeBlock)))
            .prop_map(|(from, to, block)| Atom::Edge(from, to, block)),
        1 => groups,
        1 => cause(),
        1 => (option::of(kind()), vec(pattern(), 1..3))
            .prop_map(|(kind, patterns)| Atom::CausePath(kind, patterns)),
    ]
}

fn cause() -> impl Strategy<Value = Atom> {
    let lists = vec![
        (CauseKind::Fault, CauseList::Service, Place::CauseService),
        (CauseKind::Error, CauseList::Entity, Place::CauseEntity),
        (
            CauseKind::Fault,
            CauseList::Exception,
            Place::CauseException,
        ),
        (
            CauseKind::ResponseTime,
            CauseList::Entity,
            Place::SlowEntity,
        ),
    ];
    select(lists).prop_flat_map(|(kind, list, place)| {
        block(place).prop_map(move |block| Atom::Cause(kind, list, block))
    })
}

fn block(place: Place) -> impl Strategy<Value = Expr<Simple>> {
    joined(simple(place))
}

fn simple(place: Place) -> impl Strategy<Value = Simple> {
    select(Keyword::all_in(place)).prop_flat_map(|keyword| {
        let test = match keyword.class() {
            Class::Flag => Just(Test::Is).boxed(),
            Class::Number => prop_oneof![Just(Test::Is), number_test()].boxed(),
            Class::Text => prop_oneof![Just(Test::Is), text_test()].boxed(),
        };
        test.prop_map(move |test| Simple { keyword, test })
    })
}

fn annotation() -> impl Strategy<Value = Atom> {
    let test = prop_oneof![
        Just(Test::Is),
        any::<bool>().prop_map(Test::Boolean),
        number_test(),
        text_test(),
    ];
    (key(), test).prop_map(|(key, test)| Atom::Annotation(key, test))
}

fn number_test() -> impl Strategy<Value = Test> {
    let comparison = select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessEqual,
        Comparison::Greater,
        Comparison::GreaterEqual,
    ]);
    (comparison, number()).prop_map(|(comparison, number)| Test::Number(comparison, number))
}

fn number() -> impl Strategy<Value = f64> {
    let any_finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    prop_oneof![
        4 => select(vec![0.0, 0.5, 1.0, 2.0, 200.0, 404.0, -1.0]),
        1 => any_finite,
    ]
}

fn text_test() -> impl Strategy<Value = Test> {
    let likeness = select(vec![
        Likeness::Equal,
        Likeness::NotEqual,
        Likeness::Contains,
        Likeness::BeginsWith,
        Likeness::EndsWith,
    ]);
    (likeness, text()).prop_map(|(likeness, text)| Test::Text(likeness, text))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["", "a", "b", "ab", "client", "t"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["k", "K", "k.l", "and", "1"]).prop_map(str::to_owned)
}

fn node() -> impl Strategy<Value = NodeSelector> {
    let id = (option::of(text()), option::of(text()), option::of(text()));
    prop_oneof![
        Just(NodeSelector::Any),
        text().prop_map(NodeSelector::Named),
        id.prop_map(|(name, service_type, account_id)| NodeSelector::Id {
            name,
            service_type,
            account_id,
        }),
    ]
}

fn pattern() -> impl Strategy<Value = CausePattern> {
    let exception = (option::of(text()), option::of(text()))
        .prop_map(|(name, message)| ExceptionPattern { name, message });
    let coverage = option::of(number());
    let entity = (
        option::of(text()),
        coverage,
        option::of(any::<bool>()),
        option::of(vec(exception, 0..2)),
    );
    let entity = entity.prop_map(|(name, coverage, remote, exceptions)| EntityPattern {
        name,
        coverage,
        remote,
        exceptions,
    });
    let service = (
        option::of(text()),
        option::of(vec(text(), 0..2)),
        option::of(text()),
        option::of(text()),
        option::of(any::<bool>()),
        option::of(vec(entity, 0..2)),
    );
    let service = service.prop_map(
        |(name, names, service_type, account_id, inferred, entity_path)| ServicePattern {
            name,
            names,
            service_type,
            account_id,
            inferred,
            entity_path,
        },
    );
    let services = option::of(vec(service, 0..2));
    (services, option::of(any::<bool>())).prop_map(|(services, client_impacting)| CausePattern {
        services,
        client_impacting,
    })
}

pub(super) fn summary() -> impl Strategy<Value = Summary> {
    let some_text = || option::of(text());
    let http = (some_text(), some_text(), option::of(status()));
    let http = http.prop_map(|(url, method, status)| HttpFacts {
        client_ip: method.clone(),
        user_agent: url.clone(),
        url,
        method,
        status,
    });
    let times = (nanos(), nanos(), option::of(nanos()));
    let lists = (
        vec(service(), 0..4),
        vec(request(), 0..4),
        vec(edge(), 0..4),
        vec(indexed(), 0..4),
        vec(text(), 0..3),
    );
    let facts = (0..3_u32, 0..256_u16);
    (times, http, lists, facts).prop_map(|(times, http, lists, facts)| {
        let (start, length, response_ns) = times;
        let (services, requests, edges, annotations, names) = lists;
        let user = |name: &String| User {
            name: name.clone(),
            services: Vec::new(),
        };
        Summary {
            trace_id: TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap(),
            start: Timestamp::from_nanos(start),
            end: Timestamp::from_nanos(start + length),
            response_ns,
            n_segments: facts.0,
            flags: SummaryFlags(facts.1),
            revision: 1,
            http,
            services,
            entry: None,
            annotations,
            users: names.iter().map(user).collect(),
            resource_arns: names.clone(),
            instance_ids: names.clone(),
            availability_zones: names,
            requests,
            edges,
        }
    })
}

fn nanos() -> impl Strategy<Value = u64> {
    select(vec![0, 1, 500_000_000, 1_000_000_000, 2_000_000_000])
}

fn status() -> impl Strategy<Value = u16> {
    select(vec![200, 301, 404, 429, 500])
}

fn service() -> impl Strategy<Value = Service> {
    (
        text(),
        option::of(text()),
        option::of(text()),
        any::<bool>(),
    )
        .prop_map(|(name, service_type, account_id, inferred)| Service {
            name,
            service_type,
            account_id,
            inferred,
        })
}

/// Returns requests, some of them of services that are not there.
fn request() -> impl Strategy<Value = RequestFacts> {
    (0..5_u16, 0..8_u8, 0..8_u8, nanos(), option::of(status())).prop_map(
        |(service, flags, state, response_ns, status)| RequestFacts {
            service,
            flags: Flags(flags),
            state: RequestState(state),
            response_ns,
            status,
        },
    )
}

fn edge() -> impl Strategy<Value = EdgeFacts> {
    (0..5_u16, request()).prop_map(|(from, request)| EdgeFacts {
        from,
        to: request.service,
        flags: request.flags,
        state: request.state,
        response_ns: request.response_ns,
        status: request.status,
    })
}

fn indexed() -> impl Strategy<Value = IndexedAnnotation> {
    let value = prop_oneof![
        number().prop_map(AnnotationValue::Number),
        any::<bool>().prop_map(AnnotationValue::Boolean),
        text().prop_map(AnnotationValue::String),
    ];
    (key(), value).prop_map(|(key, value)| IndexedAnnotation {
        key,
        value,
        services: Vec::new(),
    })
}
