/** After everything has healed all sides are equal: local devices as reads see them, and the devices of every site. */
import { SparseBytes } from '@sitelink/storage/testing'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

/** Read at a time. */
const PIECE_BYTES = 256 * 1024

export const equalChecker: MakeChecker = ({ world, cast }) => ({
  async healed() {
    const { primary } = world
    const head = primary.history.lastLsn
    const images = primary.history.contentAt(head)
    for (const { deviceId, number, sizeBytes } of cast.presentDevices) {
      const found = new SparseBytes()
      for (let from = 0; from < sizeBytes; from += PIECE_BYTES)
        found.write(await world.run(primary.read(number, from, Math.min(PIECE_BYTES, sizeBytes - from))), from)
      const at = found.firstDifference(images.get(deviceId) as SparseBytes)
      demand('equal', at < 0, () => `device ${number} of the primary differs from the history from byte ${at} on`)
    }
    for (const { slink, agent } of cast.present) {
      for (const { deviceId, config } of primary.slink(slink).mappings) {
        const at = agent.content(config.remote).firstDifference(images.get(deviceId) as SparseBytes)
        demand(
          'equal',
          at < 0,
          () => `${config.remote} of ${agent.name} differs from the history at ${head} from byte ${at} on`,
        )
      }
    }
  },
})
