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

  golden(digest: string, sizeInMb: number | undefined): { path: string; partial: string } {
    const path = `${this.goldens}/${folder(digest)}-${sizeInMb ?? 'auto'}.ext4`;
    return { path, partial: `${path}.partial` };
  }
}

const folder = (digest: string): string => digest.replace(':', '-');
