/**
 * Just enough of QEMU's machine protocol (QMP) to start a job and to ask how it stands.
 *
 * Commands are answered in order, one at a time; events in between are passed over.
 */
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

export class Qmp {
  #socket
  #lines

  /** Connects to the Unix socket of a monitor and leaves its negotiation mode. */
  static async connect(path) {
    const qmp = new Qmp()
    qmp.#socket = connect(path)
    await new Promise((resolve, reject) => qmp.#socket.once('connect', resolve).once('error', reject))
    qmp.#lines = createInterface({ input: qmp.#socket })[Symbol.asyncIterator]()
    await qmp.#lines.next()
    await qmp.execute('qmp_capabilities')
    return qmp
  }

  /** Executes a command and answers what it returns; an error of QEMU's is thrown. */
  async execute(command, words = {}) {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: words })}\n`)
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`QEMU closed its monitor at ${command}`)
      const message = JSON.parse(value)
      if (message.error) throw new Error(`QEMU refused ${command}: ${message.error.desc}`)
      if ('return' in message) return message.return
    }
  }

  close() {
    this.#socket.destroy()
  }
}
