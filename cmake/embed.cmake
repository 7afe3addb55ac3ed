# Writes the text files of the list FILES, one after the other, into the C file OUT as the array NAME, and its
# length as NAME_length.
foreach(file ${FILES})
    file(READ ${file} hex HEX)
    string(APPEND all "${hex}0a")
endforeach()
string(REGEX REPLACE "(................................)" "\\1\n" all "${all}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," all "${all}")
file(WRITE ${OUT} "#include <stddef.h>
extern const unsigned char ${NAME}[];
extern const size_t ${NAME}_length;
const unsigned char ${NAME}[] = {
${all}
};
const size_t ${NAME}_length = sizeof ${NAME};
")
