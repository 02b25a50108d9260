//! Everything here writes to folders of its own that go with the test.

mod alongside;
mod damage;
mod fixture;
mod hostile;
mod killed;
mod resume;
mod rotation;
mod round_trip;
mod support;
