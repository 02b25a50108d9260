//! Answers that are too large for memory, piece by piece.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::ResponseFuture;

use super::{CallError, Client, Reply, root_cause};

/// An answer whose body still comes.
#[derive(Debug)]
pub struct Download {
    client: Client,
    body: Body,
}
