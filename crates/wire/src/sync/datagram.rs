//! What stands around the encrypted part of a datagram, and greetings, which are signed and not encrypted.

use super::{DATAGRAM_LEN_MAX, Input, MAGIC, Malformed, Output, VERSION};

/// A number that a director draws at random for each session that it offers.
pub type Epoch = [u8; 16];

/// Bytes before the encrypted part.
pub const SEALED_HEAD_LEN: usize = 16;
/// Bytes of the tag behind the encrypted part.
pub const TAG_LEN: usize = 16;
/// Bytes of a greeting's signature.
pub const SIGNATURE_LEN: usize = 32;
/// Bytes of the longest name.
pub const NAME_LEN_MAX: usize = 64;
/// Bytes of the longest greeting.
pub const HELLO_LEN_MAX: usize = 40 + 2 * (1 + NAME_LEN_MAX) + SIGNATURE_LEN;

const HELLO: u8 = 1;
const SEALED: u8 = 2;

/// A greeting: who offers a session to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Which key signs it; tells nothing of the key itself.
    pub key_id: [u8; 4],
    /// What the sender offers.
    pub from: Epoch,
    /// What it has heard the receiver offer; `None`: nothing that it could answer, it has no session.
    pub to: Option<Epoch>,
    /// The sender's name.
    pub sender: &'a str,
    /// The receiver's name.
    pub receiver: &'a str,
}

/// A datagram; neither signature nor tag has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A greeting.
    Hello {
        /// What it says.
        hello: Hello<'a>,
        /// The bytes that are signed.
        signed: &'a [u8],
        /// Their signature.
        signature: &'a [u8; SIGNATURE_LEN],
    },
    /// A frame within a session.
    Sealed {
        /// The bytes that the tag covers besides the encrypted ones.
        head: &'a [u8; SEALED_HEAD_LEN],
        /// Which session.
        session: u32,
        /// Of the sender's datagrams in this session, never the same twice.
        counter: u64,
        /// The encrypted frame.
        body: &'a [u8],
        /// Its tag.
        tag: &'a [u8; TAG_LEN],
    },
}

/// Whether a director may have this name: 1 to [`NAME_LEN_MAX`] bytes without control characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Reads what came in a datagram.
///
/// # Errors
/// A [`Malformed`]; [`Malformed::Version`] whatever follows the version.
pub fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Malformed> {
    let mut input = Input(bytes);
    if input.array() != Ok(MAGIC) {
        return Err(Malformed::Foreign);
    }
    let version = input.u8()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    if bytes.len() > DATAGRAM_LEN_MAX {
        return Err(Malformed::Length);
    }
    match input.u8()? {
        HELLO => parse_hello(bytes, input),
        SEALED => {
            let (head, rest) = bytes.split_first_chunk().ok_or(Malformed::Length)?;
            let (body, tag) = rest.split_last_chunk().ok_or(Malformed::Length)?;
            Ok(Datagram::Sealed {
                head,
                session: input.u32()?,
                counter: input.u64()?,
                body,
                tag,
            })
        }
        other => Err(Malformed::Unknown(other)),
    }
}

fn parse_hello<'a>(bytes: &'a [u8], mut input: Input<'a>) -> Result<Datagram<'a>, Malformed> {
    let key_id = input.array()?;
    let from = input.array()?;
    let to = input.array()?;
    let hello = Hello {
        key_id,
        from,
        to: (to != Epoch::default()).then_some(to),
        sender: parse_name(&mut input)?,
        receiver: parse_name(&mut input)?,
    };
    let _signature: [u8; SIGNATURE_LEN] = input.array()?;
    input.end()?;
    if from == Epoch::default() {
        return Err(Malformed::Range);
    }
    let (signed, signature) = bytes.split_last_chunk().ok_or(Malformed::Length)?;
    Ok(Datagram::Hello {
        hello,
        signed,
        signature,
    })
}

fn parse_name<'a>(input: &mut Input<'a>) -> Result<&'a str, Malformed> {
    let len = input.u8()?;
    let bytes = input.take(usize::from(len))?;
    let name = core::str::from_utf8(bytes).unwrap_or_default();
    match is_name(name) {
        true => Ok(name),
        false => Err(Malformed::Name),
    }
}

/// Writes a greeting without its signature; returns the length, `None` if the buffer is shorter than that or a name is
/// none ([`is_name`]).
#[must_use]
pub fn write_hello(hello: &Hello<'_>, buffer: &mut [u8]) -> Option<usize> {
    let mut output = Output::new(buffer);
    output.put(&MAGIC);
    output.put(&[VERSION, HELLO]);
    output.put(&hello.key_id);
    output.put(&hello.from);
    output.put(&hello.to.unwrap_or_default());
    for name in [hello.sender, hello.receiver] {
        let len = u8::try_from(name.len()).ok().filter(|_| is_name(name))?;
        output.put(&[len]);
        output.put(name.as_bytes());
    }
    output.written()
}

/// The bytes before an encrypted frame.
#[must_use]
pub fn seal_head(session: u32, counter: u64) -> [u8; SEALED_HEAD_LEN] {
    let [m0, m1] = MAGIC;
    let [s0, s1, s2, s3] = session.to_be_bytes();
    let [c0, c1, c2, c3, c4, c5, c6, c7] = counter.to_be_bytes();
    [
        m0, m1, VERSION, SEALED, s0, s1, s2, s3, c0, c1, c2, c3, c4, c5, c6, c7,
    ]
}
