import { failed } from './failure.ts';

/**
 * Reads the JSON that a tool of the host printed. Nothing at all is an empty list, as some versions of `ip` mean it.
 * @throws Fault `tool` with its beginning
 */
export function printedBy(tool: 'ip' | 'nft', json: string): unknown {
  try {
    return json.trim() === '' ? [] : JSON.parse(json);
  } catch (cause) {
    throw unreadable(tool, json, cause);
  }
}

/** What was printed is something else than was asked for. */
export const unreadable = (tool: 'ip' | 'nft', json: string, cause?: unknown): Error =>
  failed(`Cannot read what ${tool} printed: ${JSON.stringify(json.slice(0, 200))}`, cause);
