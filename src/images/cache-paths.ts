import type { GoldenShape } from '../ports/images.ts';

/** Where an image cache keeps what. Everything lies under its directory and is named after a digest. */
export class CachePaths {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get trees(): string {
    return `${this.directory}/trees`;
  }

  get goldens(): string {
    return `${this.directory}/golden`;
  }

  get fittedKernels(): string {
    return `${this.directory}/kernels`;
  }

  /** For what is on its way: layouts, and what tools lay out. Nothing in it outlives a start. */
  get scratch(): string {
    return `${this.directory}/scratch`;
  }

  tree(digest: string): { home: string; rootfs: string; uses: string; partial: string; work: string } {
    const name = folder(digest);
    const home = `${this.trees}/${name}`;
    return {
      home,
      rootfs: `${home}/rootfs`,
      uses: `${home}/uses.json`,
      partial: `${home}.partial`,
      work: `${this.scratch}/${name}`,
    };
  }

  /** @param name - of a kernel among those of one image */
  fitted(digest: string, name: string): { path: string; partial: string } {
    const path = `${this.fittedKernels}/${folder(digest)}-${name}`;
    return { path, partial: `${path}.partial` };
  }

  golden(digest: string, shape: GoldenShape): { path: string; partial: string } {
    const extension = shape.partitionUuid === undefined ? 'ext4' : 'gpt';
    const path = `${this.goldens}/${folder(digest)}-${shapeName(shape)}.${extension}`;
    return { path, partial: `${path}.partial` };
  }
}

/** Names a shape among those of one image. */
export const shapeName = ({ sizeInMb, partitionUuid }: GoldenShape): string =>
  `${sizeInMb ?? 'auto'}${partitionUuid === undefined ? '' : `-${partitionUuid}`}`;

const folder = (digest: string): string => digest.replace(':', '-');
