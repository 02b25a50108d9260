//! Traces on their way between servers and files: how they are found, fetched, written, read and made documents again.

#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod fetch;
pub(crate) mod form;
pub(crate) mod input;
pub(crate) mod jaeger;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod slices;
pub(crate) mod split;
#[cfg(test)]
mod tests;
pub(crate) mod zipkin;

use model::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What of a document says where it belongs and when it was.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Facts<'a> {
    /// Its trace, as written.
    #[serde(borrow, default)]
    pub(crate) trace_id: Option<&'a RawValue>,
    /// Its own id, as written.
    #[serde(borrow, default)]
    pub(crate) id: Option<&'a RawValue>,
    /// Whether a server made it up.
    #[serde(borrow, default)]
    inferred: Option<&'a RawValue>,
    #[serde(borrow, default)]
    start_time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    end_time: Option<&'a RawValue>,
}

impl<'a> Facts<'a> {
    /// Returns what a document says, as far as it can be read.
    pub(crate) fn of(document: &'a str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }

    /// Tells whether a server made the segment up of the call of another one: then nobody sent it.
    pub(crate) fn is_inferred(&self) -> bool {
        self.inferred.is_some_and(|value| value.get() == "true")
    }

    /// Returns its latest time, its start if it has no end.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let times = [self.start_time, self.end_time].into_iter().flatten();
        let times = times.filter_map(|time| {
            let number = time.get().trim_matches('"');
            Timestamp::parse_seconds(number).ok()
        });
        times.max()
    }
}
