//! What people send traces with, unchanged and with nothing else running: X-Ray SDKs, OpenTelemetry, AWS's distribution of
//! it, Envoy, a collector. Each test follows a recipe of `tests/clients/recipes.toml` by the letter and asks what was stored.

mod adot;
mod envoy;
mod keys;
mod otel;
mod place;
mod recipe;
mod rotel;
mod sampling;
mod shop;
mod xray_sdk;
