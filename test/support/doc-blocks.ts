/** A fenced block of a page of ours that holds commands. */
export interface DocBlock {
  /** Of the fence, from 1. */
  readonly line: number;
  readonly text: string;
  /** Why no test runs it; absent where one must. */
  readonly notRun?: string;
}

const FENCE = /^```(\S*)$/;
const NOT_RUN = /^<!-- not run: (.+) -->$/;
/** What a reader would type, in a block that does not say that it is for a shell. */
const COMMAND = /^(sudo |\.?bin\/|flintlockd? |npm |umoci |skopeo )/m;

/**
 * The shell blocks of a page, in order. One is not run where
 * `<!-- not run: why -->` is the last line before it that is not empty.
 *
 * @throws Error for commands in a block without a language, where no test would find them
 */
export function docBlocks(markdown: string): readonly DocBlock[] {
  const lines = markdown.split('\n');
  const blocks: DocBlock[] = [];
  let before = '';
  for (let i = 0; i < lines.length; i++) {
    const language = FENCE.exec(lines[i] ?? '')?.[1];
    if (language === undefined) {
      if (lines[i]?.trim() !== '') before = lines[i] ?? '';
      continue;
    }
    const end = lines.indexOf('```', i + 1);
    if (end < 0) throw new Error(`line ${i + 1}: the block has no end`);
    const text = lines.slice(i + 1, end).join('\n');
    const notRun = NOT_RUN.exec(before)?.[1];
    if (language === 'sh') blocks.push({ line: i + 1, text, ...(notRun !== undefined && { notRun }) });
    else if (language === '' && COMMAND.test(text))
      throw new Error(`line ${i + 1}: commands in a block that is not marked as sh`);
    before = '';
    i = end;
  }
  return blocks;
}
