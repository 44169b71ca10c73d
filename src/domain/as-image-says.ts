import type { MicroVm } from './microvm.ts';
import { type ImageSays, processOf } from './process.ts';

/** Of what is to run in a guest. */
interface Begun {
  readonly environment: Readonly<Record<string, string>>;
  /** Empty: none is given. */
  readonly user: string;
  readonly directory: string;
}

/** What an image says, by its digest: see `Images.says`. */
export type Says = (digest: string) => ImageSays | null | undefined;

/**
 * What is to run in a guest, with the variables, the user and the directory of the image's own program where none are given:
 * as the spec's process and the root volume's image say.
 */
export function asImageSays<T extends Begun>(says: Says, { spec, made }: Pick<MicroVm, 'spec' | 'made'>, start: T): T {
  const root = spec.volumes.find(({ isRoot }) => isRoot);
  const digest = root && made.volumes[root.id]?.digest;
  const said = digest === undefined ? undefined : says(digest);
  const image = said && !('wrong' in said) ? said : undefined;
  const { environment, user, directory } = processOf(image, spec.process);
  return {
    ...start,
    environment: { ...environment, ...start.environment },
    user: start.user || user,
    directory: start.directory || directory,
  };
}
