/** What is kept of a console, at least: its last MiB, whatever a guest writes. */
export const CONSOLE_KEEP_BYTES = 1 << 20;

/** What a status keeps of it when the guest has died (design: 4 KiB). */
export const CONSOLE_TAIL_BYTES = 4 << 10;
