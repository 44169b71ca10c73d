import { imagesDirectory } from '../../domain/names.ts';
import { createAskRegistry } from '../../host/ask-registry.ts';
import { clock } from '../../host/clock.ts';
import { registryEnvironment } from '../../host/environment.ts';
import { files } from '../../host/files.ts';
import { createImages } from '../../images/images.ts';
import { removeOldTrials } from '../../tools/scratch.ts';
import { chooseVolumes } from '../../volumes/copies.ts';
import { requireAuthFile } from '../auth-file.ts';
import { isInMemory } from '../capacity.ts';
import { demoKernelOf } from '../demo-kernel.ts';
import type { Parts } from './parts.ts';

/** The image cache, and what makes disks of its images. */
export async function buildStorage({ config, opened, log, metrics, acts, run, ending }: Parts) {
  const { names, ledger } = opened;
  const directory = imagesDirectory(names);
  const authFile = config['registry-auth-file'];
  if (authFile !== '') await requireAuthFile(files, authFile);
  const images = createImages({
    directory,
    registryEnvironment: registryEnvironment(process.env),
    ask: createAskRegistry(),
    imageRoots: config['image-root'],
    insecureRegistries: config['insecure-registry'],
    ...(authFile !== '' && { authFile }),
    ...{ run, files, ledger, clock, log, acts },
    meter: metrics,
  });
  await files.makeDirectory(directory, 0o700);
  await removeOldTrials(files, names.instance, clock);
  const inMemory = await isInMemory(directory);
  const volumes = await chooseVolumes({ directory, files, log, inMemory, signal: ending });
  return { images, volumes, demoKernel: await demoKernelOf(config, images) };
}

export type BuiltStorage = Awaited<ReturnType<typeof buildStorage>>;
