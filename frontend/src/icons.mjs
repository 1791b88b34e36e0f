// The icons of the sprite, by their Tabler names. Add a name here, build, use {% icon "name" %}.
export const ICONS = [
  "activity", "adjustments", "alert-triangle", "arrow-right", "ban", "box", "building", "check",
  "checklist", "chevron-down", "chevron-left", "chevron-right", "circle-check", "circle-dashed",
  "circle-x", "clock", "copy", "cpu", "device-desktop", "devices-2", "dots", "download", "edit",
  "external-link", "file", "filter", "folders", "git-branch", "hash", "heartbeat", "help", "history",
  "hourglass", "info-circle", "key", "keyboard", "layout-dashboard", "loader", "lock", "logout",
  "menu-2", "minus", "moon", "package", "player-pause", "player-play", "player-stop",
  "plug-connected", "plus", "refresh", "rocket", "search", "server", "settings", "shield-check",
  "stack-2", "sun", "sun-moon", "tag", "terminal-2", "trash", "upload", "user", "users",
  "versions", "wifi-off", "x", "arrow-back-up", "archive", "circle", "list-check", "home",
  "building-plus", "device-mobile", "fingerprint", "gauge", "link", "login", "mail", "password", "qrcode", "robot",
  "selector", "send", "shield", "user-cog", "user-minus", "user-plus", "user-question", "users-group", "world",
];
