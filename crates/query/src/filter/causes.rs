//! Root causes as expressions see them: lists of services, entities and exceptions, and whole paths.

use protocol::shapes::{
    FaultRootCauseEntity, ResponseTimeRootCauseEntity, RootCause, RootCauseException,
    RootCauseService,
};

use super::ast::{CauseList, Expr, Simple};
use super::json::{CausePattern, EntityPattern, ExceptionPattern, ServicePattern};
use super::keywords::Keyword;

/// An entity of whatever kind of root cause.
pub(super) trait Entity {
    fn name(&self) -> &str;
    fn is_remote(&self) -> bool;
    fn coverage(&self) -> Option<f64>;
    fn exceptions(&self) -> &[RootCauseException];
}

impl Entity for FaultRootCauseEntity {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_remote(&self) -> bool {
        self.remote
    }

    fn coverage(&self) -> Option<f64> {
        None
    }

    fn exceptions(&self) -> &[RootCauseException] {
        &self.exceptions
    }
}

impl Entity for ResponseTimeRootCauseEntity {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_remote(&self) -> bool {
        self.remote
    }

    fn coverage(&self) -> Option<f64> {
        Some(self.coverage)
    }

    fn exceptions(&self) -> &[RootCauseException] {
        &[]
    }
}

/// One element of a list of a root cause.
#[derive(Clone, Copy, Default)]
struct Element<'a> {
    name: &'a str,
    service_type: Option<&'a str>,
    account_id: Option<&'a str>,
    message: Option<&'a str>,
    coverage: Option<f64>,
    is_inferred: bool,
    is_remote: bool,
}

/// Tells whether a block holds for some one element of the list of some one root cause.
pub(super) fn has_element<E: Entity>(
    causes: &[RootCause<E>],
    list: CauseList,
    block: &Expr<Simple>,
) -> bool {
    causes.iter().any(|cause| {
        let elements = elements(cause, list);
        let last_idx = elements.len().saturating_sub(1);
        elements.iter().enumerate().any(|(idx, element)| {
            let place = (idx, last_idx);
            let mut test = |simple: &Simple| Some(element.test(simple, place));
            block.evaluate(&mut test) == Some(true)
        })
    })
}

/// Returns the elements of a list; those of all services of the cause one after another.
fn elements<E: Entity>(cause: &RootCause<E>, list: CauseList) -> Vec<Element<'_>> {
    let services = cause.services.iter();
    match list {
        CauseList::Service => services.map(service_element).collect(),
        CauseList::Entity => services
            .flat_map(|service| {
                let path = service.entity_path.iter();
                path.map(|entity| entity_element(entity, service.inferred))
            })
            .collect(),
        CauseList::Exception => services
            .flat_map(|service| &service.entity_path)
            .flat_map(Entity::exceptions)
            .map(|exception| Element {
                name: &exception.name,
                message: exception.message.as_deref(),
                ..Element::default()
            })
            .collect(),
    }
}

fn service_element<E>(service: &RootCauseService<E>) -> Element<'_> {
    let service_type = service.service_type.as_str();
    Element {
        name: &service.name,
        service_type: (!service_type.is_empty()).then_some(service_type),
        account_id: service.account_id.as_deref(),
        is_inferred: service.inferred,
        ..Element::default()
    }
}

fn entity_element<E: Entity>(entity: &E, is_inferred: bool) -> Element<'_> {
    Element {
        name: entity.name(),
        coverage: entity.coverage(),
        is_remote: entity.is_remote(),
        is_inferred,
        ..Element::default()
    }
}

impl Element<'_> {
    fn test(&self, Simple { keyword, test }: &Simple, (idx, last_idx): (usize, usize)) -> bool {
        match keyword {
            Keyword::First => test.flag(idx == 0),
            Keyword::Last => test.flag(idx == last_idx),
            Keyword::Index => test.number(u32::try_from(idx).ok().map(f64::from)),
            Keyword::Inferred => test.flag(self.is_inferred),
            Keyword::Remote => test.flag(self.is_remote),
            Keyword::Coverage => test.number(self.coverage),
            Keyword::Name => test.text(Some(self.name)),
            Keyword::Type => test.text(self.service_type),
            Keyword::AccountId => test.text(self.account_id),
            Keyword::Message => test.text(self.message),
            // The parser lets none of these stand here.
            Keyword::Ok
            | Keyword::Error
            | Keyword::Throttle
            | Keyword::Fault
            | Keyword::Partial
            | Keyword::Root
            | Keyword::ResponseTime
            | Keyword::Duration
            | Keyword::HttpStatus
            | Keyword::HttpUrl
            | Keyword::HttpMethod
            | Keyword::HttpUserAgent
            | Keyword::HttpClientIp
            | Keyword::User
            | Keyword::AvailabilityZone
            | Keyword::InstanceId
            | Keyword::ResourceArn => false,
        }
    }
}

/// Tells whether some root cause has one of the forms.
pub(super) fn has_form<E: Entity>(causes: &[RootCause<E>], patterns: &[CausePattern]) -> bool {
    causes.iter().any(|cause| {
        patterns.iter().any(|pattern| {
            is_or_any(pattern.client_impacting, cause.client_impacting)
                && each_fits(pattern.services.as_deref(), &cause.services, service_fits)
        })
    })
}

fn service_fits<E: Entity>(pattern: &ServicePattern, service: &RootCauseService<E>) -> bool {
    let account_id = pattern.account_id.as_deref();
    let names_fit = pattern
        .names
        .as_ref()
        .is_none_or(|names| *names == service.names);
    text_fits(pattern.name.as_deref(), &service.name)
        && names_fit
        && text_fits(pattern.service_type.as_deref(), &service.service_type)
        && account_id.is_none_or(|given| service.account_id.as_deref() == Some(given))
        && is_or_any(pattern.inferred, service.inferred)
        && each_fits(
            pattern.entity_path.as_deref(),
            &service.entity_path,
            entity_fits,
        )
}

fn entity_fits<E: Entity>(pattern: &EntityPattern, entity: &E) -> bool {
    text_fits(pattern.name.as_deref(), entity.name())
        && is_or_any(pattern.remote, entity.is_remote())
        && pattern
            .coverage
            .is_none_or(|given| entity.coverage() == Some(given))
        && each_fits(
            pattern.exceptions.as_deref(),
            entity.exceptions(),
            exception_fits,
        )
}

fn exception_fits(pattern: &ExceptionPattern, exception: &RootCauseException) -> bool {
    let message = pattern.message.as_deref();
    text_fits(pattern.name.as_deref(), &exception.name)
        && message.is_none_or(|given| exception.message.as_deref() == Some(given))
}

/// Tells whether lists are equally long and fit one by one; any list does if none is given.
fn each_fits<P, V>(patterns: Option<&[P]>, values: &[V], fits: impl Fn(&P, &V) -> bool) -> bool {
    let Some(patterns) = patterns else {
        return true;
    };
    patterns.len() == values.len()
        && patterns
            .iter()
            .zip(values)
            .all(|(pattern, value)| fits(pattern, value))
}

fn text_fits(given: Option<&str>, known: &str) -> bool {
    given.is_none_or(|given| given == known)
}

fn is_or_any(given: Option<bool>, known: bool) -> bool {
    given.is_none_or(|given| given == known)
}
