//! Round trips: documents to spans and back, spans to documents and back.

mod conventions;
// mod from_documents;
