/**
 * What initrds and inits of distributions print when they give up: most then wait at a shell for somebody, with the
 * kernel alive and well. A guest can print anything; it is believed of itself.
 *
 * initramfs-tools (Debian, Ubuntu), dracut (Fedora, openSUSE), systemd in emergency mode, mkinitcpio (Arch), Alpine; and systemd where
 * it stands still for good, which it marks so.
 */
const GAVE_UP =
  /ALERT! +\S.{0,200} does not exist\. +Dropping to a shell!|No init found\. Try passing init= bootarg\.|The \S+ filesystem on \S+ requires a manual fsck|Entering emergency mode\. Exit the shell to continue\.|You are in emergency mode\. |You are now being dropped into an emergency shell\.|initramfs emergency recovery shell launched|(?<=!!!!!!\S{0,10}\] )\S.{0,200}/;
/** What of it says why, of those that do not say it in the same words. */
const CAUSE =
  /Warning: (?=\S+ does not exist)|ERROR: (?=device '[^']*' not found)|(?=Timed out waiting for device \S)|(?=Failed to mount (?:\/|root|Root))|(?=Dependency failed for )|(?=mount: mounting \S+ on \/sysroot failed)/;
/** Where initramfs-tools is told by `panic=` what to do, as we tell it. */
const REBOOTS = /^Rebooting automatically due to panic= boot argument\s*$/m;

// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a terminal (ECMA-48, 5.4)
const COLOURS = /\u001b\[[0-9;?]*[A-Za-z]/g;
const MAX_WORDS = 200;

/** What was heard of one boot so far. */
export interface Emergency {
  /** The first thing that went wrong, in the guest's words. */
  readonly cause?: string;
  /** It gave up, in the guest's words. */
  readonly words?: string;
}

/** @param text - whole lines of its console, what comes after those that made `before` */
export function emergencyIn(text: string, before: Emergency = {}): Emergency {
  if (before.words !== undefined || !(GAVE_UP.test(text) || CAUSE.test(text))) return before;
  let { cause } = before;
  for (const raw of text.replaceAll(COLOURS, '').split(/[\r\n]+/)) {
    const gaveUp = GAVE_UP.exec(raw)?.[0].trim().replaceAll(/ +/g, ' ');
    if (gaveUp !== undefined) return { ...(cause !== undefined && { cause }), words: gaveUp };
    const found = CAUSE.exec(raw);
    if (found) cause ??= raw.slice(found.index + found[0].length, found.index + found[0].length + MAX_WORDS).trim();
  }
  return cause === undefined ? before : { cause };
}

const LOOK =
  "look whether root= in kernel.cmdline and the fstab of its root name disks that are there (/dev/vda is the first), and whether its initrd is of the kernel's version and brings virtio_mmio and virtio_blk";

/** A sentence for who gave up. */
export const emergencyText = ({ cause, words }: Emergency): string =>
  `The guest's initrd or init gave up, and waits for somebody at the console if it has a shell for that: ${told({ cause, words })}; ${LOOK}`;

/**
 * Whether a guest that was reset had given up, as a sentence; undefined: it had not, as far as its console says.
 * @param text - the end of its console
 */
export function gaveUpBefore(text: string): string | undefined {
  if (!REBOOTS.test(text)) return undefined;
  const heard = emergencyIn(text);
  return heard.words === undefined
    ? undefined
    : `The guest's initrd gave up and reset the machine, and would again: ${told(heard)}; ${LOOK}`;
}

const told = ({ cause, words }: { cause?: string | undefined; words?: string | undefined }): string =>
  cause === undefined ? `"${words}"` : `"${cause}", and then "${words}"`;
