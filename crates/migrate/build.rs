//! Tells the compiler which revision this is.

#[path = "../service/build/revision.rs"]
mod revision;

fn main() {
    revision::emit();
}
