/** What /proc/PID/stat tells of a process: the program's name may hold spaces and `)`: the fields begin after the last one. State is field 3, start time 22 (proc(5)). */
export function parseStat(stat: string): { startTime: string; zombie: boolean } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { startTime: fields[19] ?? '', zombie: fields[0] === 'Z' || fields[0] === 'X' };
}
