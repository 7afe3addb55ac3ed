/* Files and directories. */
#ifndef HB_BASE_FILE_H
#define HB_BASE_FILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include "base/buffer.h"
#include "base/error.h"

/* open() with O_CLOEXEC, for every file that is opened here. The descriptor is never 0, 1 or 2: where
 * one of these is closed, the program's next message or result would be written into the file. Returns
 * -1 and sets errno on failure. */
int hb_open(const char *path, int flags, mode_t mode);

/* Moves a descriptor of 0, 1 or 2 to a higher number; returns any other as it is. On failure it closes
 * the descriptor, returns -1 and sets errno. */
int hb_move_descriptor(int fd);

/* Writes all bytes. False with errno set on failure. */
bool hb_write_all(int fd, const void *bytes, size_t n);

/* Whether the folder of a path lets files be made; otherwise errno says why not. */
bool hb_folder_takes_files(const char *path);

/* Creates and opens a file with an unused name that begins with ".hbar." in a directory, with the
 * permissions that the umask allows. Release *path with free(). Returns -1 and sets errno on failure;
 * *path is NULL then. */
int hb_create_temporary(const char *dir, char **path);

/* Renames a file without replacing another. False with errno set on failure: EEXIST if the name is
 * taken. */
bool hb_rename_new(const char *from, const char *to);

/* "a directory", "a pipe", "a link", "a socket" or "a device", for a mode that is not a regular file.
 */
const char *hb_file_kind(mode_t mode);

/* Opens a regular file for reading. HB_ERR_IO for anything else: reading a pipe or a device could wait
 * forever or never end. */
hb_status hb_open_regular(const char *path, int *fd, hb_error *err);

/* Identifies the contents of a file without reading them again. */
typedef struct hb_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} hb_stamp;
hb_stamp hb_stamp_of(const struct stat *st);
bool hb_stamp_same(const hb_stamp *a, const hb_stamp *b);

/* The part of a path behind its last slash. */
const char *hb_base_name(const char *path);

/* Creates a directory and its parents. An existing directory is no error. */
hb_status hb_make_directory(const char *dir, hb_error *err);

/* Sets *out to all bytes of a regular file, or of a pipe up to its end. HB_ERR_IO for anything else,
 * for more than `limit` bytes, and for a pipe that nobody writes to, which is empty. */
hb_status hb_read_file(const char *path, size_t limit, hb_buffer *out, hb_error *err);

#endif
