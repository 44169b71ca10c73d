import type { StepResults } from './facts.ts';
import type { StepDef } from './step.ts';

/** A hold on an image: while the entry is there, the image is in use. The image itself is the cache's (owner `images`). */
export const image: StepDef<'image', { reference: string; wants: readonly string[] }, StepResults['image']> = {
  timeoutMs: 1_800_000,
  lane: 'images',
  onTimeout: 'ImagePullFailed',
  intent: ({ reference, wants }) => ({ reference, wants }),

  async make({ reference, wants }, { vm, ports: { images }, signal, onBytes }) {
    const local = await images.ensure(reference, { signal, onBytes });
    const kernel = wants.includes('kernel') && (await images.file(local, 'kernel', vm.spec.kernel.filename));
    const initrd = wants.includes('initrd') && (await images.file(local, 'initrd', vm.spec.initrd?.filename));
    return {
      digest: local.digest,
      tree: local.tree,
      ...(local.remark !== undefined && { remark: `Image "${reference}": ${local.remark}` }),
      ...(kernel && { kernel }),
      ...(initrd && { initrd }),
    };
  },

  async unmake() {}, // the hold is the entry

  show:
    (_step, _intent, { digest, kernel, initrd }) =>
    (made) => ({
      ...made,
      ...(kernel && { kernel: { digest, ...kernel } }),
      ...(initrd && { initrd: { digest, ...initrd } }),
    }),
};
