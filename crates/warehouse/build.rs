//! Gives the compiler the revision.

#[path = "../service/build/revision.rs"]
mod revision;

fn main() {
    revision::emit();
}
