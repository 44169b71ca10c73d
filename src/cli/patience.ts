/** What limits of time are multiplied by, on a slow host: FLINTLOCK_PATIENCE, from 1 to 100. */
export function patienceOf({ FLINTLOCK_PATIENCE: text = '' }: Readonly<Record<string, string | undefined>>): number {
  const factor = Number(text);
  return factor >= 1 && factor <= 100 ? factor : 1;
}
