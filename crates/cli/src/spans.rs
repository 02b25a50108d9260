//! How spans of files and recordings become segments: what a server has in its settings `otlp.*`.

use clap::Args;
use otlp::Rules;
use serde::{Deserialize, Serialize};

/// The settings of a server that say how spans become segments.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(next_help_heading = "Spans, as the settings otlp.* of a server")]
pub(crate) struct SpanFlags {
    /// Attributes of spans that become annotations; those of the resource are written "otel.resource.NAME"
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    indexed_attributes: Vec<String>,
    /// Let all attributes become annotations
    #[arg(long)]
    index_all_attributes: bool,
    /// Log groups of spans that name none
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    log_groups: Vec<String>,
    /// Make segments of consumers of queues, and calls of producers
    #[arg(long)]
    consumer_segments: bool,
}

impl SpanFlags {
    pub(crate) fn rules(&self) -> Rules {
        let Self {
            indexed_attributes,
            index_all_attributes,
            log_groups,
            consumer_segments,
        } = self.clone();
        Rules {
            indexed_attributes,
            index_all_attributes,
            log_groups,
            consumer_segments,
        }
    }
}
