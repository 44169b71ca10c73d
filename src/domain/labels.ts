const NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/**
 * Kubernetes' rules: an optional DNS prefix of at most 253 characters and `/`, then at most 63 characters.
 * @returns what is wrong, or undefined
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
 */
export function checkLabelKey(key: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && (prefix.length > 253 || !SUBDOMAIN.test(prefix)))
    return `the prefix of label key "${shorten(key)}" must be a DNS name in lower case of at most 253 characters`;
  if (!NAME.test(name))
    return `label key "${shorten(key)}" must have 1 to 63 letters, digits, "-", "_", "." and begin and end with a letter or digit`;
  return undefined;
}

/** At most 63 characters, or empty. @returns what is wrong, or undefined */
export function checkLabelValue(value: string): string | undefined {
  if (value === '' || NAME.test(value)) return undefined;
  return `label value "${shorten(value)}" must have at most 63 letters, digits, "-", "_", "." and begin and end with a letter or digit, or be empty`;
}

/** For messages: a hostile text neither floods nor breaks a line, and is not cut within a character. */
export const shorten = (text: string): string =>
  (text.length > 80 ? `${text.slice(0, 77)}...` : text).toWellFormed().replace(/\p{Cc}/gu, '?');
