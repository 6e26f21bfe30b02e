export * from './entry/index.js'
export * from './control/messages.js'
export * from './transport/transport.js'
