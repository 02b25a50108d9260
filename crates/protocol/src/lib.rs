//! The X-Ray API on the wire: restJson1 routes, shapes, errors, signatures and page tokens.
//!
//! The secret this crate hides is what requests and responses look like as bytes. It knows routes
//! ([`Operation`]), request and response shapes of all 38 operations ([`shapes`]), the service model they
//! are held against ([`model`]), how a refusal is written ([`error_response`]), which protocol an answer is
//! dressed in ([`Dialect`]), how a request is signed ([`sigv4`]), what a key may be good for ([`Right`]) and how a
//! page token is sealed ([`token`]). It must never know sockets, a clock, the store, the keys there are or what a
//! trace means. Every wire error of the API is built here and nowhere else.
//!
//! What holds of every request that was decoded: each constraint of the service model was checked, all
//! broken ones were told at once; null members were absent, unknown ones passed over, and an empty body
//! was an empty object. What holds of every response: lists are there even if empty, members that are
//! not known are left out, numbers are finite and integers no larger than clients read.
//!
//! ```
//! use protocol::{Operation, decode, shapes::BatchGetTracesRequest};
//!
//! let operation = Operation::route(&http::Method::POST, "/Traces", None).unwrap();
//! assert_eq!(operation, Operation::BatchGetTraces);
//! let request: BatchGetTracesRequest =
//!     decode(br#"{"TraceIds": ["1-581cf771-a006649127e371903a2de979"]}"#).unwrap();
//! assert_eq!(request.trace_ids.len(), 1);
//! ```
#![warn(missing_docs)]

mod decode;
mod dialect;
mod error;
pub mod model;
mod operation;
mod pattern;
mod response;
mod right;
pub mod shapes;
pub mod sigv4;
pub mod token;
mod violations;

pub use decode::{Shape, decode};
pub use dialect::Dialect;
pub use error::{ApiError, ErrorKind};
pub use operation::{Operation, TARGET};
pub use pattern::Pattern;
pub use response::{REQUEST_ID, error_response, json_head, json_response};
pub use right::Right;
pub use violations::Violations;
