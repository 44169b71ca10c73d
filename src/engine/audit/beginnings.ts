/**
 * Whether a name begins with one of these. What ends with a slash is looked up
 * among the name's parents, which are few, however many there are of it.
 */
export function beginnings(all: readonly string[]): (name: string) => boolean {
  const directories = new Set(all.filter((one) => one.endsWith('/')));
  const others = all.filter((one) => !one.endsWith('/'));
  return (name) => {
    for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1))
      if (directories.has(name.slice(0, at + 1))) return true;
    return others.some((one) => name.startsWith(one));
  };
}
