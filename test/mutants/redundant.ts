/**
 * Steps that look as if something became durable only by them, and nothing does: no test can tell whether they are there.
 *
 * Each is named with its file and the reason why it may stay. A step without such a reason belongs into the table.
 */
export const REDUNDANT: readonly { readonly step: string; readonly file: string; readonly why: string }[] = [
  {
    step: 'write-back asks for a sync of the log when it waits for one',
    file: 'primary/group/group',
    why: 'the log syncs itself 100 ms after its oldest unsynced byte; this makes it prompt',
  },
  {
    step: 'a clean stop asks for a sync of the log',
    file: 'primary/group/group',
    why: 'it waits until the log is durable, which the log becomes by itself within 100 ms; this makes it prompt',
  },
  {
    step: 'a drop stores its marks before the site counts as behind, and again behind it',
    file: 'primary/slink/slink, primary/slink/overflow',
    why: 'the tail stores the marks of every site that is behind before it lets anything go, and a start marks again from the log',
  },
  {
    step: 'the end of a resync stores the clean regions at once',
    file: 'primary/slink/slink',
    why: 'each settled region has them stored soon; a crash before costs copies, and nothing else',
  },
  {
    step: 'a slink that is closed stores its marks',
    file: 'primary/slink/slink',
    why: 'a start marks again from the log what the stored bitmaps lack; stored marks only make that short',
  },
  {
    step: 'starting over ends with a superblock that says what hello told',
    file: 'agent/replica/replica',
    why: 'the first frame that has to wait for what was told has it written; nothing is relied on before',
  },
  {
    step: 'a close waits for the file of the replica',
    file: 'agent/replica/replica',
    why: 'whoever changes the file is waited for by name: steps of sessions, barriers, updates of the tables, damage',
  },
  {
    step: 'a dirty log that was opened is stored at once',
    file: 'agent/replica/dirty-files',
    why: 'until something is stored each start finds what this one found, and calls as much dirty',
  },
  {
    step: 'a device that is not believed any more is called unsynced',
    file: 'storage/write-back/lane',
    why: 'each part above the synced layers is written again, and each write calls the device unsynced',
  },
]
