//! A password's SCRAM-SHA-256 verifier (RFC 5803, RFC 7677), as Postgres stores it.
//!
//! Sent in place of the password, as `psql`'s `\password` does it: the statement may be logged by the server, and a
//! verifier does not reveal the password.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What Postgres itself uses: more would slow down each login, fewer would help an attacker who guesses.
const ITERATIONS: u32 = 4096;

/// The verifier of `password` under a salt never used before.
pub(crate) fn verifier(password: &str) -> String {
    salted_verifier(password, &rand::random::<[u8; 16]>())
}

fn salted_verifier(password: &str, salt: &[u8]) -> String {
    // Like Postgres: a password that cannot be normalised is taken as it is.
    let normal = stringprep::saslprep(password).unwrap_or(password.into());
    let salted = salted_password(normal.as_bytes(), salt);
    let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server_key = hmac(&salted, &[b"Server Key"]);
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${ITERATIONS}:{}${}:{}", encode(salt), encode(&stored_key), encode(&server_key))
}

/// `Hi` of RFC 5802: PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..ITERATIONS {
        last = hmac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `stored` is what Postgres wrote to `pg_authid.rolpassword` for the plain password.
    fn check(password: &str, stored: &str) {
        let salt = stored.split([':', '$']).nth(2).unwrap();
        assert_eq!(salted_verifier(password, &BASE64_STANDARD.decode(salt).unwrap()), stored);
    }

    #[test]
    fn postgres_stores_the_same_verifier() {
        // PostgreSQL 15: CREATE ROLE x PASSWORD '…'; SELECT rolpassword FROM pg_authid WHERE rolname = 'x';
        check(
            "pencil",
            "SCRAM-SHA-256$4096:y2m5w/iMAcvLe8GAF+WN1g==$\
             FQoFZCpXhAAdpr/217gGJDV1UBlWMVS35AT+piGO70o=:6t7ROTFmPQ4fuaxNvk5DriIaBC08VhMKwdO+bOCYfJM=",
        );
        check(
            r#"it's a "quoted" $word"#,
            "SCRAM-SHA-256$4096:YWj3aKHBY2AUKeyrs9D4zg==$\
             vbbdupnrXWpGB2OUnxWiPUxovZsLHsD7B94g2IeYqYk=:j/5qntqAIh/HpYQwH5zbVNvtuzYceoN5eIivST/SAAo=",
        );
        check(
            "Zürich ²Ⅳ",
            "SCRAM-SHA-256$4096:DwYVGTTKgattV7zjoY3v1w==$\
             PmX9d/Ek7jgetjgcBLX/wVuluJEE3PZlcbFp5J+qipA=:qTdxoEg7MCBi+OWJgXmGTJARyO6pauNit8RfyhnHPxs=",
        );
    }

    #[test]
    fn a_salt_is_never_used_twice() {
        assert_ne!(verifier("pencil"), verifier("pencil"));
    }
}
