//! Who a request is from: an access key, its account and its rights.

pub(crate) mod keys;
