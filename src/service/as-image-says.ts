import type { MicroVm } from '../domain/microvm.ts';
import { processOf } from '../domain/process.ts';
import type { ExecStart } from '../ports/guest-agent.ts';
import type { NeedsOf } from './needs.ts';

export type ImageNeeds = NeedsOf<'images', 'says'>;

/**
 * What is to run in a guest, with the variables, the user and the directory of the image's own program where none are given:
 * as the spec's process and the root volume's image say.
 */
export function asImageSays({ images }: ImageNeeds, { spec, made }: MicroVm, start: ExecStart): ExecStart {
  const root = spec.volumes.find(({ isRoot }) => isRoot);
  const digest = root && made.volumes[root.id]?.digest;
  const says = digest === undefined ? undefined : images.says(digest);
  const image = says && !('wrong' in says) ? says : undefined;
  const { environment, user, directory } = processOf(image, spec.process);
  return {
    ...start,
    environment: { ...environment, ...start.environment },
    user: start.user || user,
    directory: start.directory || directory,
  };
}
