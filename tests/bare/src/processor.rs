//! What the C library does elsewhere: the first instruction, the end of the process, and copies of memory.
//!
//! The only unsafe code of this program.

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {begin}", begin = sym begin);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {begin}", begin = sym begin);

extern "C" fn begin() -> ! {
    exit(crate::main())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}

/// Ends the process: `exit_group(2)`.
fn exit(code: u8) -> ! {
    let code = u64::from(code);
    // SAFETY: the call takes one number, touches no memory and does not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn, nostack));
    }
    // SAFETY: the call takes one number, touches no memory and does not return.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") 94, in("x0") code, options(noreturn, nostack));
    }
}

/// Copies memory, forwards.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: the caller owns both areas of this length; volatile, or the compiler makes a call of this very function.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// Compares memory: 0 if it is equal.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: the caller may read both areas of this length; volatile as above.
        let equal = unsafe { one.add(at).read_volatile() == other.add(at).read_volatile() };
        if !equal {
            return 1;
        }
    }
    0
}
