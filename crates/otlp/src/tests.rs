//! Round trips: documents to spans and back, spans to documents and back.

mod conventions;
mod documents;
mod from_documents;
mod from_requests;
