//! What judging a summary costs.
fn main() {
    divan::main();
}
