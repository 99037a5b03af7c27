//! Programs of classic BPF that say which of the sockets that share a port gets a datagram or a
//! connection (`SO_ATTACH_REUSEPORT_CBPF`, `socket(7)`).
//!
//! A program gives the place of a socket among those that share the port: the first to be bound
//! has 0. Where nobody has the place it gives, the kernel goes by flow.

use std::os::fd::BorrowedFd;

use super::Errno;
use crate::udp::Sharing;

/// Has those that share a port with `fd` get what comes as `sharing` says, if that is not as the
/// kernel does it by itself.
///
/// `fd` is bound and shares its port, or is to be bound to one that nobody has.
pub(super) fn steer(fd: BorrowedFd<'_>, sharing: Sharing) -> Result<(), Errno> {
    match program(sharing) {
        None => Ok(()),
        Some(program) => attach(fd, &program[..]),
    }
}

/// One instruction, as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    /// Instructions that are passed over if a condition holds, and if not.
    jumps: (u8, u8),
    operand: u32,
}

const fn instruction(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        jumps: (0, 0),
        operand,
    }
}

/// What is loaded from is the payload: the kernel has passed over the headers.
fn program(sharing: Sharing) -> Option<Vec<Instruction>> {
    match sharing {
        Sharing::Exclusive | Sharing::Shared => None,
        Sharing::ByCpu { sockets } => Some(vec![
            instruction(LOAD_WORD, CPU),
            instruction(MODULO, sockets.into()),
            instruction(RETURN_RESULT, 0),
        ]),
        Sharing::ByByte { offset, sockets } => Some(vec![
            instruction(LOAD_LEN, 0),
            Instruction {
                // Else to the last one: a byte that is not there would be taken for a 0.
                jumps: (0, 3),
                ..instruction(IF_GREATER, offset.into())
            },
            instruction(LOAD_BYTE, offset.into()),
            instruction(MODULO, sockets.into()),
            instruction(RETURN_RESULT, 0),
            instruction(RETURN, NOBODY),
        ]),
    }
}

#[cfg(target_os = "linux")]
fn attach(fd: BorrowedFd<'_>, program: &[Instruction]) -> Result<(), Errno> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.jumps.0,
            jf: instruction.jumps.1,
            k: instruction.operand,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_mut_ptr(),
    };
    // The kernel copies the instructions that `program` points at, which live until it is done.
    let option = libc::SO_ATTACH_REUSEPORT_CBPF;
    super::socket::set_value(fd, libc::SOL_SOCKET, option, &program).map_err(|error| {
        match error.0 {
            // A kernel before 4.5 has no such option.
            libc::ENOPROTOOPT => Errno(libc::EOPNOTSUPP),
            _ => error,
        }
    })
}

#[cfg(not(target_os = "linux"))]
fn attach(_: BorrowedFd<'_>, _: &[Instruction]) -> Result<(), Errno> {
    Err(Errno(libc::EOPNOTSUPP))
}

const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const LOAD_LEN: u16 = 0x80;
const MODULO: u16 = 0x94;
const IF_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
const RETURN_RESULT: u16 = 0x16;

/// Where the number of the processor is that received it (`SKF_AD_OFF + SKF_AD_CPU`).
const CPU: u32 = 0xffff_f024;
/// A place that nobody has.
const NOBODY: u32 = u32::MAX;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::super::cores::pin_to_core;
    use super::super::socket::open_udp;
    use super::*;
    use crate::backend::Offload;
    use crate::net::Token;
    use crate::udp::UdpOpen;

    #[test]
    fn instructions_are_those_of_the_system() {
        let code = |code: u16| libc::c_uint::from(code);
        assert_eq!(code(LOAD_WORD), libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
        assert_eq!(code(LOAD_BYTE), libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
        assert_eq!(code(LOAD_LEN), libc::BPF_LD | libc::BPF_W | libc::BPF_LEN);
        assert_eq!(code(MODULO), libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K);
        assert_eq!(
            code(IF_GREATER),
            libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K
        );
        assert_eq!(code(RETURN), libc::BPF_RET | libc::BPF_K);
        assert_eq!(code(RETURN_RESULT), libc::BPF_RET | libc::BPF_A);
        let cpu = libc::SKF_AD_OFF + libc::SKF_AD_CPU;
        assert_eq!(CPU, cpu.cast_unsigned());
    }

    #[test]
    fn what_a_processor_has_received_goes_to_the_socket_of_its_number() {
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let sharing = Sharing::ByCpu { sockets: 2 };
        let open = |bind| {
            let open = UdpOpen::new(Token(0), bind).with_sharing(sharing);
            let (fd, local) = open_udp(&open, Offload::Off).expect("there is room");
            (UdpSocket::from(fd), local)
        };
        let (first, local) = open(loopback);
        let sockets = [first, open(local).0];
        for core in [0, 1, 0, 1] {
            // Over loopback, whoever sends is who receives.
            if pin_to_core(core).is_err() {
                continue; // This machine has no such core, or not for us.
            }
            for _ in 0..10 {
                let sender = UdpSocket::bind(loopback).expect("a port");
                sender.send_to(b"x", local).expect("sent");
                assert_eq!(sockets[core].recv(&mut [0; 8]).expect("it is here"), 1);
                let other = sockets[1 - core].recv(&mut [0; 8]);
                assert_eq!(
                    other.map_err(|error| error.kind()),
                    Err(ErrorKind::WouldBlock)
                );
            }
        }
    }

    #[test]
    fn a_program_that_the_kernel_does_not_take_is_an_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        // It shares its port with nobody.
        let sharing = Sharing::ByCpu { sockets: 2 };
        assert_eq!(steer(socket.as_fd(), sharing), Err(Errno(libc::EINVAL)));
        assert_eq!(steer(socket.as_fd(), Sharing::Shared), Ok(()));
    }
}
