//! rotel
