//! The blocks of a document of which more than the text is of interest.

use serde::Deserialize;

use crate::json::{Block, Scalar};
use crate::{Flags, Link, TraceId};

/// `http`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Http<'a> {
    #[serde(borrow)]
    pub(crate) request: Block<Request<'a>>,
    #[serde(borrow)]
    pub(crate) response: Block<Response<'a>>,
}

/// `http.request`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Request<'a> {
    #[serde(borrow)]
    pub(crate) url: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) method: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) user_agent: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) client_ip: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) traced: Scalar<'a>,
}

/// `http.response`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) status: Scalar<'a>,
}

impl Http<'_> {
    /// Returns `http.response.status`.
    pub(crate) fn status(&self) -> Option<u16> {
        self.response
            .0
            .as_ref()
            .and_then(|response| response.status.status())
    }

    /// Tells whether `http.request.traced` announces a segment of the called service.
    pub(crate) fn is_traced(&self) -> bool {
        self.request
            .0
            .as_ref()
            .is_some_and(|request| request.traced.boolean() == Some(true))
    }
}

/// `aws`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Aws<'a> {
    #[serde(borrow)]
    pub(crate) account_id: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) table_name: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) ec2: Block<Host<'a>>,
    #[serde(borrow)]
    pub(crate) ecs: Block<Host<'a>>,
}

/// `aws.ec2` and `aws.ecs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Host<'a> {
    #[serde(borrow)]
    pub(crate) instance_id: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) availability_zone: Scalar<'a>,
}

/// One of `links`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Linked<'a> {
    #[serde(borrow)]
    pub(crate) trace_id: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) id: Scalar<'a>,
}

impl Linked<'_> {
    /// Returns the link, if both ids have their form.
    pub(crate) fn link(&self) -> Option<Link> {
        Some(Link {
            trace_id: TraceId::parse_any(self.trace_id.text()?).ok()?,
            id: self.id.text()?.parse().ok()?,
        })
    }
}

/// `cause`, if it is an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause<'a> {
    #[serde(borrow)]
    pub(crate) exceptions: Vec<Block<Thrown<'a>>>,
}

/// One of `cause.exceptions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Thrown<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) name: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) message: Scalar<'a>,
    #[serde(borrow)]
    pub(crate) remote: Scalar<'a>,
}

/// `error`, `fault` and `throttle` as sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) error: Option<bool>,
    pub(crate) fault: Option<bool>,
    pub(crate) throttle: Option<bool>,
}

impl Outcome {
    /// Returns the outcomes: what was sent counts, each flag that was not sent is taken from the status.
    pub(crate) fn flags(self, status: Option<u16>) -> Flags {
        let status = status.unwrap_or(0);
        let is_client_error = (400..500).contains(&status);
        let is_server_fault = (500..600).contains(&status);
        let pick = |is_set: bool, flag: Flags| if is_set { flag } else { Flags::default() };
        pick(self.error.unwrap_or(is_client_error), Flags::ERROR)
            .union(pick(self.fault.unwrap_or(is_server_fault), Flags::FAULT))
            .union(pick(
                self.throttle.unwrap_or(status == 429),
                Flags::THROTTLE,
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: [Option<bool>; 3], status: Option<u16>, expected: &[Flags]) {
        let [error, fault, throttle] = outcome;
        let flags = expected
            .iter()
            .fold(Flags::default(), |set, flag| set.union(*flag));
        assert_eq!(
            Outcome {
                error,
                fault,
                throttle
            }
            .flags(status),
            flags,
            "{outcome:?} {status:?}"
        );
    }

    #[test]
    fn flags_are_taken_from_the_status_unless_sent() {
        check([None; 3], None, &[]);
        check([None; 3], Some(200), &[]);
        check([None; 3], Some(404), &[Flags::ERROR]);
        check([None; 3], Some(429), &[Flags::ERROR, Flags::THROTTLE]);
        check([None; 3], Some(503), &[Flags::FAULT]);
        check([None; 3], Some(600), &[]);
        check([Some(false), None, None], Some(429), &[Flags::THROTTLE]);
        check([None, Some(true), None], None, &[Flags::FAULT]);
        check(
            [Some(true); 3],
            Some(200),
            &[Flags::ERROR, Flags::FAULT, Flags::THROTTLE],
        );
    }
}
