import type { ToolState } from '../../ports/tools.ts';
import { TOOLS } from '../../tools/list.ts';
import { findProgram } from '../../tools/programs.ts';
import type { Tool } from '../../tools/tool.ts';
import { nameOf, tryTool } from '../../tools/tool.ts';
import { stateOf } from '../../tools/toolbox.ts';
import type { Check, CheckHost, Result } from '../check.ts';
import { ask, whoAmI } from '../look.ts';

/** Whose trials they are. */
const WHOSE = 'doctor';

const STATUS: Readonly<Record<ToolState['is'], Result['status']>> = {
  works: 'ok',
  slow: 'warn',
  untried: 'warn',
  late: 'fail',
  broken: 'fail',
  missing: 'fail',
};

/** The programs that the daemon runs, each tried as it is used: by the daemon itself, where one runs. */
export const tools: Check = {
  name: 'tools',
  async examine(host) {
    const { root } = await whoAmI(host);
    const results: Result[] = [];
    // One after the other: beside each other they would take as long, and each seem slow.
    for (const tool of TOOLS) results.push(await examineTool(host, tool, root));
    return results;
  },
};

async function examineTool(host: CheckHost, tool: Tool, root: boolean): Promise<Result> {
  const told = host.daemon?.tools.find(({ name }) => name === nameOf(tool));
  if (told) {
    const version = told.is === 'works' ? await versionOf(host, tool, told.path) : '';
    return resultOf(tool, told, version, 'as the daemon finds it');
  }
  if (tool.rootOnly && !root) {
    const path = (await findProgram(host.files, host.path, tool.program))?.path;
    if (path !== undefined) {
      const found = `${path}${await versionOf(host, tool, path)}; only root can try it`;
      return { name: nameOf(tool), status: 'ok', found, fix: '' };
    }
  }
  const state = stateOf(tool, await tryTool(tool, { ...host, whose: WHOSE }));
  return resultOf(tool, state, await versionOf(host, tool, state.path), '');
}

function resultOf(tool: Tool, state: ToolState, version: string, by: string): Result {
  const { is, path, found, remedy } = state;
  const words = found === '' ? `${path}${version}` : found;
  const status = tool.need === 'none' && STATUS[is] === 'fail' ? 'warn' : STATUS[is];
  return { name: nameOf(tool), status, found: by === '' ? words : `${words}, ${by}`, fix: remedy };
}

/** To be put behind its path: of the program, or of its package. */
async function versionOf(host: CheckHost, tool: Tool, path: string): Promise<string> {
  if (path === '') return '';
  if (tool.version === undefined) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own syntax
    const { ok, text } = await ask(host, ['dpkg-query', '--show', '--showformat', '${Version}', tool.package]);
    return ok && text !== '' ? `, package ${text}` : '';
  }
  const { ok, text } = await ask(host, [path, ...tool.version]);
  const version = /\d+(?:\.\d+)+[\w.+~-]*/.exec(text.split('\n')[0] ?? '')?.[0];
  return ok && version !== undefined ? ` ${version}` : '';
}
