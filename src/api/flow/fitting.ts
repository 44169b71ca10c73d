import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { ANSWER_BYTES } from './limits.ts';

/** The tag and the length of a message in a list. */
const FRAME_BYTES = 8;

/** How much of an answer is still free. */
export class AnswerRoom {
  #left = ANSWER_BYTES;

  /** As many of them, from the first on, as fit beside what was taken before. */
  fitting<S extends DescMessage>(desc: S, messages: readonly MessageShape<S>[]): MessageShape<S>[] {
    const taken: MessageShape<S>[] = [];
    for (const message of messages) {
      const bytes = toBinary(desc, message).length + FRAME_BYTES;
      if (bytes > this.#left) break;
      this.#left -= bytes;
      taken.push(message);
    }
    return taken;
  }
}
