//! Which services and calls are meant: `service(...)`, `edge(...)` and `id(...)`.

use model::Service;

use super::error::FilterError;
use super::parser::parse_selector;

/// Which services of a trace are meant.
///
/// The client in front of a trace's root goes by the root's name, so a name alone does not mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSelector {
    /// Every service.
    Any,
    /// Those of a name, whatever their type.
    Named(String),
    /// Those for which all that is given is so.
    Id {
        /// The service's name.
        name: Option<String>,
        /// Its type.
        service_type: Option<String>,
        /// The account it runs in.
        account_id: Option<String>,
    },
}

/// Which services or calls statistics are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Services.
    Service(NodeSelector),
    /// Calls of the first by the second: from, to.
    Edge(NodeSelector, NodeSelector),
}

impl NodeSelector {
    /// Tells whether a service is meant.
    pub fn matches_service(&self, service: &Service) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => service.name == *name && !is_client(service),
            Self::Id {
                name,
                service_type,
                account_id,
            } => {
                let fits = |given: &Option<String>, known: Option<&str>| {
                    given.as_deref().is_none_or(|given| known == Some(given))
                };
                let may_be_client = name.is_none() || service_type.is_some();
                fits(name, Some(&service.name))
                    && fits(service_type, service.service_type.as_deref())
                    && fits(account_id, service.account_id.as_deref())
                    && (may_be_client || !is_client(service))
            }
        }
    }

    /// Tells whether a service is meant at an end of a call, where clients may be called `client`.
    pub fn matches_end(&self, service: &Service) -> bool {
        let names_client = matches!(self, Self::Named(name) if name == CLIENT);
        (names_client && is_client(service)) || self.matches_service(service)
    }

    /// Returns the name that every service meant has.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Named(name) => Some(name),
            Self::Id { name, .. } => name.as_deref(),
        }
    }
}

impl Selector {
    /// Returns the selector of an `EntitySelectorExpression`: one `service(...)`, `edge(...)` or
    /// `id(...)` of at most 500 characters, without block or operators.
    ///
    /// # Errors
    /// [`FilterError`] for everything else, an empty text included.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse_selector(text)
    }

    /// Tells whether a service is meant; never of calls.
    pub fn matches_service(&self, service: &Service) -> bool {
        match self {
            Self::Service(selector) => selector.matches_service(service),
            Self::Edge(..) => false,
        }
    }

    /// Tells whether a call from one service to another is meant; never of services.
    pub fn matches_edge(&self, from: &Service, to: &Service) -> bool {
        match self {
            Self::Service(_) => false,
            Self::Edge(source, target) => source.matches_end(from) && target.matches_end(to),
        }
    }

    /// Tells whether it says `id(...)`, as forecasts require.
    pub fn names_id(&self) -> bool {
        let is_id = |selector: &NodeSelector| matches!(selector, NodeSelector::Id { .. });
        match self {
            Self::Service(selector) => is_id(selector),
            Self::Edge(from, to) => is_id(from) || is_id(to),
        }
    }
}

fn is_client(service: &Service) -> bool {
    service.service_type.as_deref() == Some(CLIENT)
}

const CLIENT: &str = "client";
