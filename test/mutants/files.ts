/** Real files: what the kernel is asked for, and in which order names move. */
import { by, step, type Mutant } from './mutant.js'

export const FILES: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a disk does not sync',
    'storage/disk/node-disk',
    "return this.#run('sync', 0, 0, () => dataSync(this.#fd));",
    "return this.#run('sync', 0, 0, () => Promise.resolve());",
    by('storage/disk/node-disk', 'give space back by discard, with zeros promised'),
  ),
  step(
    'fdatasync is not called',
    'storage/disk/node-disk-io',
    'fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));',
    'setImmediate(resolve);',
    by('storage/disk/node-disk', 'give space back by discard, with zeros promised'),
  ),
  step(
    'fdatasync is not waited for',
    'storage/disk/node-disk-io',
    'fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));',
    'fs.fdatasync(fd, (error) => (error === null ? undefined : reject(error))); resolve();',
    by('storage/disk/node-disk', 'give space back by discard, with zeros promised'),
  ),
  step(
    'a file is replaced in place',
    'storage/disk/node-disk-provider',
    'const temporary = join(dirname(target), `.${basename(target)}.new`);',
    'const temporary = target;',
    by(
      'storage/disk/node-disk',
      'replaceFile leaves the old or the new content, one after the other, and no temporary file',
    ),
  ),
  step(
    'two replacements of one file overtake each other',
    'storage/disk/node-disk-provider',
    'const done = before.then(() => replaceFile(path, content));',
    'const done = replaceFile(path, content);',
    by(
      'storage/disk/node-disk',
      'replaceFile leaves the old or the new content, one after the other, and no temporary file',
    ),
  ),
  step(
    'a short write is believed to be whole',
    'storage/disk/node-disk-io',
    'skip = (chunk === batch[0] ? skip : 0) + written; break;',
    'return;',
    by('storage/disk/node-disk', 'a write that the kernel cuts short is carried on from where it stopped'),
  ),
  step(
    'the temp file of the configuration is not synced',
    'daemon/atomic-file',
    'await file.writeFile(data); await file.sync();',
    'await file.writeFile(data);',
    by('daemon/atomic-file', 'asks the system to sync both the file and its directory'),
  ),
  step(
    'the directory of the configuration is not synced',
    'daemon/atomic-file',
    'await directory.sync();',
    '',
    by('daemon/atomic-file', 'asks the system to sync both the file and its directory'),
  ),
  step(
    'a replacement of the configuration skips the sync of its directory',
    'daemon/atomic-file',
    'await steps.unlink(temp); await steps.syncDirectory(directory);',
    'await steps.unlink(temp);',
    by('daemon/atomic-file', 'writes and syncs a temp file, renames it, and syncs the directory, in this order'),
  ),
  step(
    'the configuration is written in place',
    'daemon/atomic-file',
    'await steps.writeAndSync(temp, data, options.mode ?? 0o600);',
    'await steps.writeAndSync(path, data, options.mode ?? 0o600); await steps.writeAndSync(temp, data, options.mode ?? 0o600);',
    by('daemon/atomic-file', 'asks the system to sync both the file and its directory'),
  ),
  step(
    'the configuration counts before it is durable',
    'daemon/config-file',
    'const next = checked(this.path, this.#format, plain(change(this.#current))); try',
    'const next = checked(this.path, this.#format, plain(change(this.#current))); this.#current = next; try',
    by('daemon/config-file', 'is not written again after a write whose durability is not known'),
  ),
  step(
    'a change of the configuration does not wait for its write',
    'daemon/config-file',
    'await writeConfig(this.path, this.#format, next); } catch',
    'void writeConfig(this.path, this.#format, next).catch(() => {}); } catch',
    by('daemon/config-file', 'holds what an update made, once it resolves, in file and memory'),
  ),
  step(
    'after a write that may be lost the configuration goes on changing',
    'daemon/config-file',
    'this.#uncertain = error;',
    '',
    by('daemon/config-file', 'is not written again after a write whose durability is not known'),
  ),
  step(
    'a state directory is never called ready',
    'daemon/state-directory',
    'await writeFileAtomic(join(absolute, MARKER_FILE), markerText({ ...marker, ready: true }));',
    '',
    by('daemon/state-directory', 'is made once'),
  ),
]
