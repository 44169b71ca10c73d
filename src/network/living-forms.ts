/**
 * How a tool that stays is spoken to. It says nothing where something was
 * done, so each part is followed by a mark: words that it cannot understand,
 * to which it answers at once and without asking the kernel.
 */
export interface LivingForm {
  /** As it is started to stay. */
  readonly argv: readonly [string, ...string[]];
  /** The most that stay. */
  readonly most: number;
  /** What an act of many lines says: each part is answered before the next one is said. */
  parts(lines: readonly string[]): readonly string[];
  /** The answer to what was said before the mark; undefined: it has not come whole. */
  answer(text: string, mark: string): string | undefined;
  /**
   * Whether that is the answer of one who has done it. Any other is nobody's word: what it remembers may be wrong, or
   * it may say something beside the point. Then a process of its own is asked, and what that says counts.
   */
  isDone(part: string, answer: string): boolean;
}

/**
 * Behind a command that sets one thing of a device: the next may follow also where it failed, since the act is begun anew then.
 * `ip` takes it for a comment.
 */
export const WITH_NEXT = ' # with the next';

/**
 * With `-force` it goes on after a command that failed, so each is sent by itself: an act ends at its first failure,
 * but for what may go {@link WITH_NEXT}.
 *
 * It remembers the numbers of interfaces that it has met, also when they are gone: then it fails, or shows nothing.
 *
 * @see ip(8)
 */
export function livingIp(): LivingForm {
  const argv = ['ip', '-j', '-d', '-force', '-batch', '-'] as const;
  return {
    argv,
    most: 4,
    parts(lines) {
      const parts: string[] = [];
      let isWithNext = false;
      for (const line of lines) {
        parts.push(isWithNext ? `${parts.pop()}\n${line}` : line);
        isWithNext = line.endsWith(WITH_NEXT);
      }
      return parts;
    },
    answer(text, mark) {
      const at = text.lastIndexOf(`Object "${mark}" is unknown`);
      return at >= 0 && /\nCommand failed [^\n]*\n$/.test(text.slice(at)) ? text.slice(0, at) : undefined;
    },
    isDone(part, answer) {
      if (!/ show /.test(` ${part} `)) return answer === '';
      const [, device] = / dev (\S+)/.exec(part) ?? [];
      // `[{}]` is a row of another device: it looked for the number that one of this name had.
      return /^\[\{[^\n]*\}\]\n$/.test(answer) && (device === undefined || answer.includes(`"ifname":"${device}"`));
    },
  };
}

/**
 * Statements on one line are one transaction. Each time it asks the kernel for the number of its last change, and
 * reads anew what others have changed.
 *
 * @see nft(8)
 */
export function livingNft(): LivingForm {
  const argv = ['nft', '-i'] as const;
  return {
    argv,
    most: 2,
    parts: (lines) => [lines.join('; ')],
    answer(text, mark) {
      const [, answer] = new RegExp(`^([\\s\\S]*?)Error: [^\\n]*\\n${mark}\\n *\\^+~*\\n$`).exec(text) ?? [];
      return answer;
    },
    isDone: (_part, answer) => answer === '',
  };
}
